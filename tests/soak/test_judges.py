"""What grows is found, and what only moves is not; and no figure is without its check."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from langgraph_worker.telemetry import figures
from langgraph_worker.telemetry.figures import FIGURES, Figure
from tests.soak.figure_checks import CHECKS, Found, Still, disagreements
from tests.soak.growth import DESCRIPTORS, FEWEST, MEMORY, SAMPLE_SECONDS, WARM_UP_SECONDS, growth
from tests.soak.pages import Page, read_page, risen, values
from tests.soak.store_tally import Tally

_SAMPLES, _PER_SAMPLE = 360, 15  # half an hour, every five seconds, at three requests a second
_RNG = random.Random(7)


def series(value: Callable[[int], float]) -> list[tuple[float, float]]:
    """:param value: by number of the sample."""
    return [(number * _PER_SAMPLE, value(number)) for number in range(_SAMPLES)]


def warming_up(number: int) -> float:
    """As a worker does: 30 MiB in its first minutes."""
    return 150 + 30 * min(1.0, number / 60)


FLAT: dict[str, Callable[[int], float]] = {
    "noisy": lambda number: warming_up(number) + _RNG.gauss(0, 2),
    "a saw": lambda number: warming_up(number) + number % 40 / 4,
    "collected now and then": lambda number: 150.0 + (20 if number % 90 < 20 else 0),
    "a step, and flat again": lambda number: 150.0 if number < 200 else 158.0,
    "sinking": lambda number: 200 - number / 50,
}


@pytest.mark.parametrize("value", FLAT.values(), ids=FLAT)
def test_memory_that_only_moves_is_flat(value: Callable[[int], float]) -> None:
    slope, is_too_steep = growth(series(value), MEMORY)
    assert slope is not None
    assert not is_too_steep


@pytest.mark.parametrize("kib_of_each_request", [10, 100])
def test_a_leak_is_found_although_it_is_smaller_than_the_noise_for_minutes(kib_of_each_request: int) -> None:
    grows = kib_of_each_request * _PER_SAMPLE / 3 / 1024  # a third of the requests are this worker's
    slope, is_too_steep = growth(series(lambda number: FLAT["noisy"](number) + number * grows), MEMORY)
    assert is_too_steep
    assert slope == pytest.approx(kib_of_each_request * 1000 / 3 / 1024, rel=0.3)


def test_descriptors_that_stay_open_are_found() -> None:
    assert not growth(series(lambda number: 40 + number % 3), DESCRIPTORS)[1]
    assert growth(series(lambda number: 40 + number // 30), DESCRIPTORS)[1]


def test_few_samples_say_nothing() -> None:
    fewest = FEWEST + round(WARM_UP_SECONDS / SAMPLE_SECONDS)
    assert growth(series(float)[: fewest - 1], MEMORY) == (None, False)
    assert growth(series(float)[:fewest], MEMORY)[1]
    assert growth([(1.0, float(number)) for number in range(_SAMPLES)], MEMORY) == (None, False)  # nothing answered


def test_every_figure_has_its_check() -> None:
    """A new one needs its own: see ``tests/soak/figure_checks.py``."""
    assert set(CHECKS) == set(FIGURES)


RUN = {
    "graph": "quick",
    "decision": "fresh",
    "result_status": "success",
    "error_type": None,
    "attempts": 1,
    "release": "r",
}


def page(*samples: tuple[Figure, float, dict[str, str]], part: str = "") -> Page:
    lines = (
        f"{figure.full_name}{part}{{{','.join(f'{name}={value!r}' for name, value in labels.items())}}} {number}\n"
        for figure, number, labels in samples
    )
    return read_page("".join(lines).replace("'", '"'))


def found(*pages: tuple[Page | None, Page], stills: tuple[Still, ...] = (), **rows: Any) -> Found:
    runs = {uuid4(): {**RUN, **rows}} if rows else {}
    return Found(pages, Tally(runs=runs), Counter(), 0, 0, stills)


def test_what_a_figure_had_before_does_not_count() -> None:
    before, after = (page((figures.RUNS, number, {"graph": "g", "status": "success"})) for number in (3, 5))
    assert risen([(before, after), (None, before)], figures.RUNS) == {("g", "success"): 5}
    assert values(after, figures.RUNS) == {("g", "success"): 5}


@pytest.mark.parametrize(
    ("figure", "labels", "rows"),
    [
        (figures.RUNS, {"graph": "quick", "status": "success"}, {"attempts": 1}),
        (figures.STARTS, {"graph": "quick", "start": "first"}, {"attempts": 1}),
        (figures.REQUESTS, {"graph": "quick", "decision": "fresh"}, {"attempts": 1}),
        (figures.BUDGET_STOPS, {"graph": "quick"}, {"error_type": "budget_exceeded"}),
    ],
    ids=lambda value: value.name if isinstance(value, Figure) else "",
)
def test_a_figure_that_differs_from_the_rows_is_named(figure: Figure, labels: dict[str, str], rows: Any) -> None:
    def said(count: int) -> list[str]:
        happened = found((None, page((figure, count, labels))), **rows)
        return [line for line in disagreements(happened) if line.startswith(f"{figure.full_name}:")]

    assert said(1) == []
    assert len(said(2)) == 1
    assert len(said(0)) == 1


def test_a_gauge_that_differs_on_one_worker_is_named() -> None:
    true, false = (page((figures.WAITING, number, {"graph": "quick"})) for number in (9, 8))
    still = Still({"quick": 9}, {}, 0, 0, 0, [true, true])
    assert list(CHECKS[figures.WAITING](found(stills=(still,)))) == []
    [line] = CHECKS[figures.WAITING](found(stills=(replace(still, pages=[true, false]),)))
    assert line == "quick: counted 8, but the store has 9"


def test_a_start_that_neither_ended_nor_was_given_back_is_named() -> None:
    started = page((figures.STARTS, 2, {"graph": "quick", "start": "first"}))
    assert list(CHECKS[figures.GIVEN_BACK](found((None, started)))) == [
        "quick: counted 2, but ended or given back are 0"
    ]
