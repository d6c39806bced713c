"""What the worker needs from LangGraph's saver, for each of the two databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from langgraph.checkpoint.base import BaseCheckpointSaver
from sqlalchemy import Connection

from langgraph_worker.store.engines.database import Statement

Saver = BaseCheckpointSaver[str]

_T = TypeVar("_T")


class Dialect(Protocol):
    """One database's saver."""

    def setup(self) -> None:
        """Create or upgrade the saver's tables. Blocks."""

    def record(self, put: Callable[[Saver], _T]) -> tuple[_T, Sequence[Statement]]:
        """Record what a saver would execute, with every value in its stored form: its node may change a value later.

        Call it only in the event loop's thread: ``put`` may not await, so that one recorder serves all runs.

        :raises NotStorableError: a value has no stored form.
        """

    def reader(self, connection: Connection) -> Saver:
        """A saver for reading in the connection's transaction."""

    def next_version(self, current: Any) -> Any:
        """The version of a channel after this one."""


class Recording:
    """Takes the place of a cursor, and keeps the statements instead of executing them."""

    def __init__(self, freeze: Callable[[Any], Any] = lambda values: values) -> None:
        self.statements: list[Statement] = []
        self._freeze = freeze

    def execute(self, sql: str, values: Any = ()) -> Recording:
        """One statement."""
        self.statements.append(Statement(sql, [self._freeze(values)], many=False))
        return self

    def executemany(self, sql: str, rows: Iterable[Any]) -> Recording:
        """One statement for many rows."""
        self.statements.append(Statement(sql, [self._freeze(values) for values in rows], many=True))
        return self
