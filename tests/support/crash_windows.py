"""The windows in which a worker is killed: where, on which store, and what is left to its successor."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from tests.support.crash_bench import Case, CrashBench, Place

SQLITE, POSTGRES = "sqlite", "postgres"
CHAIN = ("one", "two", "three")
"""The nodes of the plain graph."""
UNKNOWN, PENDING, RUNNING, COMPLETED = None, "PENDING", "RUNNING", "COMPLETED"
ANY = "any"
"""The run's status depends on which thread was quicker."""


@dataclass(frozen=True)
class Window:
    """Where a worker is killed, and what its successor may do again.

    :param points: of the worker, of its successor, and so on.
    :param left: the run's status when the last of them is dead.
    :param again: the node that begins once more.
    :param maybe: one of these may begin once more: its output was on the way to the disk.
    :param copies: how often the result, or the dead letter, is sent at least.
    :param both: whether it is opened on both stores, not on either.
    :param only: the one store that has it.
    """

    points: tuple[str, ...]
    left: str | None = RUNNING
    again: str = ""
    maybe: tuple[str, ...] = ()
    copies: int = 1
    both: bool = False
    only: str = ""

    def __str__(self) -> str:
        return ",".join(self.points).replace(" ", "#")

    def stores(self, number: int) -> tuple[str, ...]:
        """Where it is opened, as the n-th of its test."""
        if self.only:
            return (self.only,)
        everywhere = self.both or os.environ.get("CRASH_WINDOWS") == "all"
        return (SQLITE, POSTGRES) if everywhere else ((SQLITE, POSTGRES)[number % 2],)


def at(*points: str, left: str | None = RUNNING, **more: Any) -> Window:
    """A window on one store."""
    return Window(points, left, **more)


def both(*points: str, left: str | None = RUNNING, **more: Any) -> Window:
    """A window on both stores."""
    return Window(points, left, both=True, **more)


def kills(*windows: Window) -> pytest.MarkDecorator:
    """Run a test for each window, on the store or the stores where it is to be opened."""
    params = [
        pytest.param(store, window, id=f"{store}-{window}")
        for number, window in enumerate(windows)
        for store in window.stores(number)
    ]
    return pytest.mark.parametrize(("store", "window"), params)


class Benches:
    """One bench a store, made when it is asked for, and anew when a failed test has left it in disorder."""

    def __init__(self, make: Callable[[str], AbstractContextManager[CrashBench]]) -> None:
        self._make = make
        self._open: dict[str, tuple[CrashBench, ExitStack]] = {}

    def sound(self, store: str) -> CrashBench:
        if store in self._open and not self._open[store][0].is_sound:
            self._open.pop(store)[1].close()
        if store not in self._open:
            stack = ExitStack()
            self._open[store] = stack.enter_context(self._make(store)), stack
        return self._open[store][0]

    def close(self) -> None:
        for _, stack in self._open.values():
            stack.close()


def kill(bench: CrashBench, window: Window, event_id: UUID, send: Callable[[], Place]) -> Place:
    """Send a record, kill each worker that deals with it at its point of the window, start none after the last."""
    bench.set_trap(window.points[0], event_id)
    place = send()
    bench.wait_for_kill()
    for point in window.points[1:]:
        bench.set_trap(point, event_id)
        bench.start()
        bench.wait_for_kill()
    if window.left is not ANY:
        assert bench.status(event_id) == window.left
    assert bench.status(event_id) is not UNKNOWN or bench.letters(place) or not bench.is_committed(place)
    return place


def wait_at_gate(bench: CrashBench, case: Case) -> None:
    """Until node ``two`` of a gated run has begun: what is before it is on disk."""
    bench.until("node two", lambda: "two" in case.nodes)


def check_nodes(case: Case, window: Window, nodes: tuple[str, ...] = CHAIN) -> None:
    """Each node began once, but for what the window allows."""
    expected = Counter((*nodes, window.again) if window.again else nodes)
    began = Counter(case.nodes)
    assert not expected - began
    more = list((began - expected).elements())
    assert not more or (len(more) == 1 and more[0] in window.maybe)
