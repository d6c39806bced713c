"""Does something grow? Memory, file descriptors and threads of a process, and rows of the store, over the requests."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

SAMPLE_SECONDS = 5.0
WARM_UP_SECONDS = 600.0
"""What is left out at the beginning of a series, or a quarter of it if that is longer: caches fill, and so do the pools
of the allocator; and the store grows until the first runs have left it, and then the tombstones of the first of them.
"""
FEWEST = 30
"""Samples after that; fewer say nothing."""
MOST_PAIRS_FROM = 400
"""Samples; of more only every second, third, ... is looked at."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How much growth is still called flat.

    :param per_thousand: in the series's unit, for each 1,000 requests that the fleet has answered.
    """

    what: str
    unit: str
    per_thousand: float

    def words(self, slope: float) -> str:
        return f"{slope:+,.2f} {self.unit} per 1,000 requests (at most {self.per_thousand:,.2f})"


MEMORY = Bound("memory", "MiB", 2.0)
"""Of one of three workers: 6 KiB for each request that it runs. A real leak, of an event or a state of a run, is larger
(the smallest request here has 2 KiB in Kafka, 20 in memory). What a page of the allocator does is smaller, over 20
minutes. At 100,000 requests in a night it is 200 MiB: as much as a worker has at its start.
"""
DESCRIPTORS = Bound("file descriptors", "descriptors", 1.0)
"""At one for each 1,000 requests the usual limit of 1,024 is a million requests away; sockets come and go."""
THREADS = Bound("threads", "threads", 1.0)
ROWS = Bound("rows", "rows", 20.0)
"""Of the table of runs: each kind of request is at least 20 of 1,000, so one whose runs stay is seen. Of a table with
several rows for each run, as much more: the number of runs within the retention moves by some, and theirs with it.
"""


def slope(series: Sequence[tuple[float, float]]) -> float | None:
    """By Theil and Sen: the median of the slopes between all pairs of points. A third of them may be wild: a collection
    of garbage, a pause of the load, a rebalance.

    :param series: (x, y), by x; without the warm-up.
    :returns: y for one x; None if there are too few points.
    """
    step = max(1, len(series) // MOST_PAIRS_FROM)
    points = series[::step]
    if len(points) < FEWEST:
        return None
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else None


def growth(series: Sequence[tuple[float, float]], bound: Bound) -> tuple[float | None, bool]:
    """The slope for 1,000 requests after the warm-up, and whether it is too steep.

    :param series: (requests answered by then, value), every :data:`SAMPLE_SECONDS`.
    """
    warm_up = max(len(series) // 4, round(WARM_UP_SECONDS / SAMPLE_SECONDS))
    found = slope(series[warm_up:])
    if found is None:
        return None, False
    return found * 1000, found * 1000 > bound.per_thousand
