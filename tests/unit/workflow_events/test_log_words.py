from __future__ import annotations

from uuid import UUID

import pytest

from workflow_events.log_words import counted, in_seconds, number_ranges, short_id, with_article


def test_a_short_id_begins_the_whole_one():
    assert short_id(UUID("628f3126-7772-5a70-8496-0f1c30df71b1")) == "628f3126"


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [([], "none"), ([3], "3"), ([0, 1, 2], "0-2"), ([5, 1, 0, 3, 4, 4], "0-1, 3-5"), (range(12), "0-11")],
)
def test_numbers_in_a_row_are_one_range(numbers, shown):
    assert number_ranges(numbers) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-0.001, "0.00 s"), (0.042, "0.04 s"), (1.52, "1.5 s"), (15.079, "15 s"), (10_800, "10,800 s")],
)
def test_a_duration_has_the_digits_that_matter(seconds, shown):
    assert in_seconds(seconds) == shown


def test_one_is_no_plural():
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


@pytest.mark.parametrize("shown", ["an object", "an int", "an Order", "a set", "a UUID", "a Thing"])
def test_an_article_fits_its_noun(shown):
    assert with_article(shown.split()[1]) == shown
