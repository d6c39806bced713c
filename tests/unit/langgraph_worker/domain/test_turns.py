"""The turn of a waiting run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_worker.domain.turns import MOST_MOVED_SECONDS, POINT_SECONDS, STARTED, turn_of

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC)
priorities = st.integers(-(2**31), 2**31 - 1)


@pytest.mark.parametrize(
    ("priority", "moved_seconds"),
    [(0, 0), (1, 30), (-1, -30), (120, 3600), (121, 3600), (2**31 - 1, 3600), (-(2**31), -3600)],
)
def test_a_point_moves_it_by_half_a_minute_and_all_of_them_by_an_hour(priority: int, moved_seconds: int) -> None:
    assert turn_of(NOW, priority) == NOW - timedelta(seconds=moved_seconds)


@given(priorities, priorities)
def test_a_higher_priority_never_comes_later(one: int, other: int) -> None:
    assert turn_of(NOW, max(one, other)) <= turn_of(NOW, min(one, other))


@given(priorities, priorities)
def test_what_is_older_than_the_bound_is_passed_by_nothing(old: int, young: int) -> None:
    later = NOW + timedelta(seconds=2 * MOST_MOVED_SECONDS, microseconds=1)
    assert turn_of(NOW, old) < turn_of(later, young)


@given(priorities)
def test_what_has_started_comes_before_all(priority: int) -> None:
    assert turn_of(NOW, priority) > STARTED


def test_the_bound_is_whole_points() -> None:
    assert MOST_MOVED_SECONDS % POINT_SECONDS == 0
