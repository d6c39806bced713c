"""What the two databases' savers have in common, as the worker uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from langgraph.checkpoint.base import BaseCheckpointSaver
from sqlalchemy import Connection

from langgraph_worker.store.database import Statement

Saver = BaseCheckpointSaver[str]

_T = TypeVar("_T")


class Dialect(Protocol):
    """One database's saver."""

    def setup(self) -> None:
        """Create or upgrade the saver's tables. Blocks."""

    def record(self, put: Callable[[Saver], _T]) -> tuple[_T, Sequence[Statement]]:
        """What a saver would execute, with every value already in its stored form: a node may go on and change it.

        Only in the event loop's thread: ``put`` may not await, so one recorder does for all runs.

        :raises NotStorableError: a value has no stored form.
        """

    def reader(self, connection: Connection) -> Saver:
        """A saver for reading in the connection's transaction."""

    def next_version(self, current: Any) -> Any:
        """The version of a channel after this one."""


class Recording:
    """Stands in for a cursor, and keeps what it is told to execute."""

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
