"""Ends a worker at a chosen transaction, and notes what its saver has made durable."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME

from langgraph_worker.checkpoints.saver import RunSaver
from langgraph_worker.errors import StoreError
from langgraph_worker.store.engines.database import DatabaseThread
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.random_graphs.job import KILLS, MOST_SECONDS, Trap
from tests.random_graphs.ledger import Entry, Ledger

_NO_OUTPUT = frozenset({INTERRUPT, RESUME, ERROR, "__error_source_node__"})


class Trapped:
    """Counts a store's transactions that write, and springs its traps.

    :param on_drain: called in the database's thread; also after a standstill, behind which there is nothing to do.
    :ivar count: transactions that have begun.
    :ivar sprung: the traps that have.
    """

    def __init__(self, store: SqlRunStore, traps: Sequence[Trap], on_drain: Callable[[], None]) -> None:
        self.count = 0
        self.sprung: list[Trap] = []
        self._traps = {trap.nth: trap for trap in traps}
        self._on_drain = on_drain
        self._guard = threading.Lock()
        self._write = store.database.write
        store.database.write = self._trapped  # type: ignore[method-assign]

    def _trapped(self, work: Callable[..., Any]) -> Any:
        with self._guard:
            self.count += 1
            trap = self._traps.get(self.count)
        if trap is None:
            return self._write(work)
        self.sprung.append(trap)
        if trap.kind == "drain":
            self._on_drain()
        if trap.kind == "before":
            _die()
        if trap.kind == "freeze before":
            self._freeze()
        written = self._write(self._sprung_inside(trap, work) if trap.kind in ("inside", "freeze inside") else work)
        if trap.kind in KILLS:
            _die()
        # A claim that is not heard of waits for the end of its lease: nobody here wants to.
        if trap.kind == "unheard" and DatabaseThread.RUNS.value in threading.current_thread().name:
            raise StoreError("the connection is gone, and with it the answer to the commit", retriable=True)
        return written

    def _sprung_inside(self, trap: Trap, work: Callable[..., Any]) -> Callable[..., Any]:
        tries = 0

        def inside(*given: Any) -> Any:
            nonlocal tries
            tries += 1
            done = work(*given)
            if trap.kind in KILLS:
                _die()
            if tries == 1:  # the database has ended this transaction meanwhile, and the store repeats it
                self._freeze()
            return done

        return inside

    def _freeze(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        os.kill(os.getpid(), signal.SIGSTOP)  # until SIGCONT
        faulthandler.dump_traceback_later(MOST_SECONDS, exit=True, file=sys.stderr)
        self._on_drain()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note_durable(ledger: Ledger) -> None:
    """From now on, note each execution whose output is durable: the saver's put has returned."""
    put = RunSaver.aput_writes

    async def noting(self: RunSaver, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        await put(self, config, writes, task_id, task_path)
        if not any(channel in _NO_OUTPUT for channel, _ in writes):
            ledger.add(Entry(self._claim.graph, "durable", ids=(task_id,), life=ledger.life))

    RunSaver.aput_writes = noting  # type: ignore[method-assign]
