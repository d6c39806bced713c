"""The database of a state machine's test: one for all its examples, emptied between them, with its clients."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, select

from langgraph_worker.store.schema import metadata, step_executions, workflow_runs
from langgraph_worker.store.sql import SqlRunStore
from tests.support.run_store import LEASE, START, Clock
from tests.support.scripted_graph import WRITES, Write

_T = TypeVar("_T")
Row = Mapping[str, Any]
_RUNS = [
    workflow_runs.c[name]
    for name in (
        "correlation_id",
        "seq",
        "status",
        "decision",
        "thread_id",
        "lineage",
        "round",
        "deadline",
        "task",
        "finished_at",
        "reply_value",
        "publish_asked",
    )
]
_runs = select(*_RUNS).order_by(workflow_runs.c.seq)
_writes = select(*[column for column in WRITES.c if column.name != "seq"]).order_by(WRITES.c.seq)
_steps = select(step_executions.c.correlation_id, step_executions.c.step_id)


class MachineDatabase:
    """One database, and its clients: several at once on PostgreSQL; on SQLite one after the other."""

    def __init__(self, url: str, clients: int) -> None:
        self._runner = asyncio.Runner()
        self.clock = Clock()
        self._url = url
        self.shared = url.startswith("postgresql")
        self.mark = "%s" if self.shared else "?"
        self.clients = [self._client() for _ in range(clients)]
        for client in self.clients:
            self.run(client.open())
        self.clients[0].database.write(lambda connection, now: WRITES.metadata.create_all(connection))

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """In the clients' event loop. The runner itself would take longer than the work: it minds signals."""
        return self._runner.get_loop().run_until_complete(work)

    def empty(self) -> None:
        """As new."""
        self.clock.now = START

        def work(connection: Connection, now: datetime) -> None:
            for table in (WRITES, *reversed(metadata.sorted_tables)):
                connection.execute(delete(table))

        self.clients[0].database.write(work)
        for client in self.clients:
            self.run(client.unpublished(1))  # so that it forgets what it has handed out

    def look(self, known: int) -> Coroutine[Any, Any, tuple[list[Row], list[Write], set[tuple[str, str]]]]:
        """The runs; the graphs' writes but for so many; the steps."""

        def work(connection: Connection) -> tuple[list[Row], list[Write], set[tuple[str, str]]]:
            runs = [dict(row) for row in connection.execute(_runs).mappings()]
            writes = [Write(*row) for row in connection.execute(_writes.offset(known).limit(10_000))]
            return runs, writes, {(str(row[0]), row[1]) for row in connection.execute(_steps)}

        return self.clients[0].read(work)

    def kill(self, number: int) -> None:
        """End a client's process, and start another."""
        self.run(self.clients[number].close())
        self.clients[number] = self._client()
        self.run(self.clients[number].open())

    def close(self) -> None:
        for client in self.clients:
            self.run(client.close())
        self._runner.close()

    def _client(self) -> SqlRunStore:
        return SqlRunStore(self._url, lease_seconds=LEASE, now=self.clock)
