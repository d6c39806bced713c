"""Where a run stands, as far as its progress messages have said."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow_provider_langgraph.task_log.phrases import ProgressLine
from workflow_events.control import ProgressKind
from workflow_events.log_words import counted

MOST_NODES = 100
MOST_NAMED = 3


class RunPosition:
    """The nodes that a run is in, since when, and what its worker has counted. Best effort: messages may be missing."""

    __slots__ = ("_finished", "_running", "_tokens", "_worker_id")

    def __init__(self) -> None:
        self._running: dict[str, datetime] = {}
        self._finished = 0
        self._tokens = 0
        self._worker_id = ""

    def note(self, message: ProgressLine) -> None:
        """Take in one message."""
        if message.worker_id != self._worker_id:  # another worker goes on: what the one before was in, it begins again
            self._worker_id = message.worker_id
            self._running.clear()
        if message.kind is ProgressKind.NODE_STARTED and len(self._running) < MOST_NODES:
            self._running[message.node] = message.timestamp
        elif message.kind is ProgressKind.NODE_FINISHED:
            self._running.pop(message.node, None)
        elif message.kind in (ProgressKind.BACKS_OFF, ProgressKind.PAUSED):
            self._running.clear()
        self._finished = message.finished_nodes or self._finished
        self._tokens = message.tokens or self._tokens

    def words(self, now: datetime) -> str:
        """``in plan for 0:04:12; 7 nodes finished; 1,204 tokens``; empty if nothing is known."""
        parts = [f"in {self._named(now)}"] if self._running else []
        parts += [f"{counted(self._finished, 'node')} finished"] if self._finished else []
        parts += [counted(self._tokens, "token")] if self._tokens else []
        return "; ".join(parts)

    def _named(self, now: datetime) -> str:
        named = [f"{node} for {_duration(now - since)}" for node, since in list(self._running.items())[:MOST_NAMED]]
        more = len(self._running) - len(named)
        return ", ".join(named) + (f" and {counted(more, 'more node')}" if more else "")


def _duration(passed: timedelta) -> str:
    return str(timedelta(seconds=max(0, round(passed.total_seconds()))))
