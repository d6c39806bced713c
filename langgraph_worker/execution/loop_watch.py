"""Ends the process when its event loop hangs.

A loop that hangs stops no run and learns of no lost lease, but the keeper's thread would renew its leases for ever.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from langgraph_worker.execution.held_leases import HeldLeases

logger = logging.getLogger(__name__)

_OVERDUE_SILENCE = 0.1  # of a lease: a loop that is silent for so long while a lease is overdue hangs
_EXIT_CODE_HUNG = 70  # EX_SOFTWARE


def end_process() -> None:
    """Exit at once, and write what every thread was doing: the loop's stack shows the node that blocks it."""
    faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)
    logging.shutdown()
    os._exit(_EXIT_CODE_HUNG)


class LoopWatch:
    """Counts how long the loop has been silent. The loop calls :meth:`beat`; a thread of its own runs :meth:`run`.

    :param hang_seconds: see the settings.
    :param on_hung: called in the watching thread when the loop was silent, while the process was running, for
        ``hang_seconds``, or for a tenth of a lease, if a lease is overdue.
    :param now: seconds of a monotonic clock.
    :param task_on_loop: the task whose turn it is on the loop.
    """

    def __init__(
        self,
        held: HeldLeases,
        lease_seconds: float,
        hang_seconds: float,
        beat_seconds: float,
        on_hung: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
        task_on_loop: Callable[[], asyncio.Task[Any] | None] = lambda: None,
    ) -> None:
        self._held = held
        self._overdue_silence_seconds = lease_seconds * _OVERDUE_SILENCE
        self._hang_seconds = hang_seconds
        self._beat_seconds = beat_seconds
        self._on_hung = on_hung
        self._now = now
        self._beats = 0
        self._seen_beats = 0
        self._silent_seconds = 0.0
        self._looked_at = now()
        self._task_on_loop = task_on_loop
        self._seen_on_loop: set[asyncio.Task[Any] | None] = set()

    @property
    def blocking_task(self) -> asyncio.Task[Any] | None:
        """The task that has blocked the loop through all of its silence; None if each look found another one, or none.

        A loop that is silent is in one turn of its tasks, or between two: a task that every look has found has taken
        all of the time, but for less than one beat before the first look and after the last.
        """
        return next(iter(self._seen_on_loop)) if len(self._seen_on_loop) == 1 else None

    def beat(self) -> None:
        """The loop is alive."""
        self._beats += 1

    def run(self, stop: threading.Event) -> None:
        """Look once per beat until the event is set."""
        self._looked_at = self._now()
        while not stop.wait(self._beat_seconds):
            self.look()

    def look(self) -> None:
        """Count the silence since the last look, and report a loop that hangs."""
        now = self._now()
        # What passed while the whole process stood still does not count: the loop could not beat then.
        self._silent_seconds += min(now - self._looked_at, 2 * self._beat_seconds)
        self._looked_at = now
        if self._beats != self._seen_beats:
            self._seen_beats, self._silent_seconds = self._beats, 0.0
            self._seen_on_loop.clear()
            return
        self._seen_on_loop.add(self._task_on_loop())
        if self._silent_seconds >= self._hang_seconds or (
            self._silent_seconds >= self._overdue_silence_seconds and self._held.overdue()
        ):
            logger.critical(
                "the event loop has stood still for %.1f s, so this process ends and others take its runs over: a "
                "node blocks it (a synchronous call in an async node?); see what the threads were doing",
                self._silent_seconds,
                extra={"action": "hung"},
            )
            self._on_hung()
            self._silent_seconds = 0.0
