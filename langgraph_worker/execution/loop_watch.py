"""Ends the process when its event loop hangs.

A loop that hangs stops no run and learns of no lost lease, but the keeper's thread would renew its leases for ever.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from langgraph_worker.execution.held_leases import HeldLeases
from langgraph_worker.execution.run_tasks import Turn

logger = logging.getLogger(__name__)

_OVERDUE_SILENCE = 0.1  # of a lease: a loop that is silent for so long while a lease is overdue hangs
_EXIT_CODE_HUNG = 70  # EX_SOFTWARE
_LAST_WORDS_SECONDS = 2.0
LINE_SECONDS = 0.5
"""How long a line may take to be written."""


def end_process() -> None:
    """Exit at once, and write what every thread was doing: the loop's stack shows the node that blocks it."""
    write_within(_LAST_WORDS_SECONDS, _write_last_words)
    os._exit(_EXIT_CODE_HUNG)


def write_within(seconds: float, write: Callable[[], object]) -> None:
    """Write to the log, and go on after so many seconds although it is not written.

    A log whose reader has stopped holds up everything that writes to it, and so may be what the loop hangs in.
    """
    writing = threading.Thread(target=write, name="lease-keeper-log", daemon=True)
    with suppress(RuntimeError):  # the process has no room for another thread
        writing.start()
        writing.join(seconds)


def _write_last_words() -> None:
    with tempfile.TemporaryFile() as stacks:
        # Not into the log: faulthandler would wait for its reader, and let no other thread of the process go on.
        faulthandler.dump_traceback(stacks, all_threads=True)
        stacks.seek(0)
        left = stacks.read()
    log = sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
    while left:
        left = left[os.write(log, left) :]
    logging.shutdown()


class LoopWatch:
    """Counts how long the loop has been silent. The loop calls :meth:`beat`; a thread of its own runs :meth:`run`.

    :param hang_seconds: see the settings.
    :param on_hung: called in the watching thread when the loop was silent, while the process was running, for
        ``hang_seconds``, or for a tenth of a lease, if a lease is overdue.
    :param now: seconds of a monotonic clock.
    :param turn_on_loop: what the loop is doing: a task's step, or a callback.
    """

    def __init__(
        self,
        held: HeldLeases,
        lease_seconds: float,
        hang_seconds: float,
        beat_seconds: float,
        on_hung: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
        turn_on_loop: Callable[[], Turn | None] = lambda: None,
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
        self._turn_on_loop = turn_on_loop
        self._seen_on_loop: set[Turn | None] = set()

    @property
    def blocking_turn(self) -> Turn | None:
        """What has blocked the loop through all of its silence; None if the looks found more than one turn, or none.

        A loop that is silent is in one turn, or between two: a turn that every look has found has taken all of the
        time, but for less than one beat before the first look and after the last.
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
        self._seen_on_loop.add(self._turn_on_loop())
        if self._silent_seconds >= self._hang_seconds or (
            self._silent_seconds >= self._overdue_silence_seconds and self._held.overdue()
        ):
            write_within(LINE_SECONDS, self._log_hang)
            self._on_hung()
            self._silent_seconds = 0.0

    def _log_hang(self) -> None:
        logger.critical(
            "the event loop has stood still for %.1f s, so this process ends and others take its runs over: a "
            "node blocks it (a synchronous call in an async node?); see what the threads were doing",
            self._silent_seconds,
            extra={"action": "hung"},
        )
