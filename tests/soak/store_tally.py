"""What the store says of every run that it ever had: read again before each prune, so that what leaves it is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, create_engine, func, inspect, select, table, text

from langgraph_worker.store.migrations.schema import metadata, pauses, run_spending, workflow_errors, workflow_runs
from tests.support.run_store import driver_url

_RUN = [
    workflow_runs.c[name]
    for name in (
        *("correlation_id", "seq", "status", "decision", "graph", "result_status", "error_type", "attempts", "release"),
        *("finished_at", "published_at", "thread_id"),
    )
]
_ERROR = [workflow_errors.c[name] for name in ("id", "correlation_id", "error_class", "model", "wait_seconds")]
_CHECKPOINTED = "quick"
"""The graph whose checkpoints are counted one by one: none of its threads is trimmed, and none of its runs resumes."""
_WRITTEN = """SELECT c.thread_id, c.checkpoint_id, '' AS task_id FROM checkpoints c
    JOIN workflow_runs r ON r.thread_id = c.thread_id WHERE r.graph = :graph
    UNION SELECT w.thread_id, w.checkpoint_id, w.task_id FROM {writes} w
    JOIN workflow_runs r ON r.thread_id = w.thread_id WHERE r.graph = :graph"""

Usage = Counter[tuple[str, str]]
"""Tokens by model and kind, and US dollars by model and ``cost``."""


@dataclass(frozen=True)
class Tally:
    """What was read.

    :param runs: rows, by correlation id.
    :param errors: rows of the runs' errors, by id.
    :param spent: by lineage and generation.
    :param written: of the graph that is counted: each checkpoint, and each task's writes.
    """

    runs: Mapping[UUID, Mapping[str, Any]] = field(default_factory=dict)
    errors: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    spent: Mapping[tuple[str, int], Usage] = field(default_factory=dict)
    written: frozenset[tuple[str, str, str]] = frozenset()

    def since(self, before: Tally) -> Tally:
        """What has come after that."""
        return Tally(
            {key: row for key, row in self.runs.items() if key not in before.runs},
            {key: row for key, row in self.errors.items() if key not in before.errors},
            {key: _minus(usage, before.spent.get(key, Counter())) for key, usage in self.spent.items()},
            self.written - before.written,
        )

    def graph_of(self, error: Mapping[str, Any]) -> str:
        return str(self.runs[error["correlation_id"]]["graph"])

    def usage(self) -> Usage:
        """Of all runs together."""
        total: Usage = Counter()
        for usage in self.spent.values():
            total.update(usage)
        return total


def _minus(usage: Usage, before: Usage) -> Usage:
    left = Counter(usage)
    left.subtract(before)
    return left


class StoreReader:
    """Reads a store beside its workers."""

    def __init__(self, url: str) -> None:
        self._engine: Engine = create_engine(driver_url(url))
        self._seen = Tally()

    def close(self) -> None:
        self._engine.dispose()

    def tally(self) -> Tally:
        """All that was there at any time that this was called."""
        with self._engine.connect() as connection:
            seen = self._seen
            self._seen = Tally(
                {**seen.runs, **{row["correlation_id"]: row for row in _rows(connection, _RUN)}},
                {**seen.errors, **{row["id"]: row for row in _rows(connection, _ERROR)}},
                {**seen.spent, **_spent(connection)},
                seen.written | _written(connection),
            )
        return replace(self._seen)

    def sizes(self) -> dict[str, int]:
        """Rows of each table, those of LangGraph's savers included."""
        with self._engine.connect() as connection:
            present = set(inspect(connection).get_table_names())
            savers = {"checkpoints", "checkpoint_blobs", "checkpoint_writes", "writes"}
            names = sorted(({one.name for one in metadata.sorted_tables} | savers) & present)
            return {
                name: connection.execute(select(func.count()).select_from(table(name))).scalar_one() for name in names
            }

    def under_way(self) -> dict[str, Counter[str]]:
        """Unfinished requests: by status, then by graph."""
        counted = select(workflow_runs.c.status, workflow_runs.c.graph, func.count())
        found: dict[str, Counter[str]] = {"PENDING": Counter(), "RUNNING": Counter()}
        with self._engine.connect() as connection:
            grouped = counted.where(workflow_runs.c.finished_at.is_(None)).group_by(*workflow_runs.c["status", "graph"])
            for status, graph, count in connection.execute(grouped):
                found[status][graph] += count
        return found

    def unpublished(self) -> int:
        """Results that the broker has not acknowledged."""
        return self._count(workflow_runs.c.published_at.is_(None), workflow_runs.c.finished_at.is_not(None))

    def unfinished(self) -> int:
        return self._count(workflow_runs.c.finished_at.is_(None))

    def paused(self) -> int:
        """Pauses that hold."""
        return self._count(pauses.c.is_on)

    def _count(self, *where: Any) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).where(*where)).scalar_one())


def _rows(connection: Connection, columns: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(*columns)).mappings()]


def _spent(connection: Connection) -> dict[tuple[str, int], Usage]:
    found = {}
    for row in connection.execute(select(run_spending)).mappings():
        usage: Usage = Counter()
        for model, used in row["usage"].items():
            usage[model, "input"] += used["input_tokens"]
            usage[model, "output"] += used["output_tokens"]
            usage[model, "cost"] += used["cost_usd"] or 0
        found[row["lineage"], row["generation"]] = usage
    return found


def _written(connection: Connection) -> frozenset[tuple[str, str, str]]:
    writes = "checkpoint_writes" if connection.dialect.name == "postgresql" else "writes"
    found = connection.execute(text(_WRITTEN.format(writes=writes)), {"graph": _CHECKPOINTED})
    return frozenset((row.thread_id, row.checkpoint_id, row.task_id) for row in found)
