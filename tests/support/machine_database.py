"""The database of a state machine's test: one for all its examples, emptied between them, with its clients."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, delete, select

from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.store.migrations.schema import metadata, step_executions, tasks, workflow_runs
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.machine_checkpoints import CHECKPOINTS, KEEP, read_checkpoints
from tests.support.row_refusals import Change, prepare_refusals, refuse
from tests.support.run_store import LEASE, START, Clock
from tests.support.scripted_graph import WRITES, Write

_T = TypeVar("_T")
Row = Mapping[str, Any]
_RUNS = [
    workflow_runs.c[name]
    for name in (
        "correlation_id",
        "seq",
        "turn",
        "graph",
        "deployment",
        "workflow_id",
        "status",
        "decision",
        "thread_id",
        "lineage",
        "round",
        "deadline",
        "not_before",
        "task",
        "finished_at",
        "reply_value",
        "publish_asked",
    )
]
_runs = select(*_RUNS).order_by(workflow_runs.c.seq)
_writes = select(*[column for column in WRITES.c if column.name != "seq"]).order_by(WRITES.c.seq)
_steps = select(step_executions.c.correlation_id, step_executions.c.step_id)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a database holds. ``checkpoints``: their ids, by thread."""

    runs: Sequence[Row]
    writes: Sequence[Write]
    steps: Collection[tuple[str, str]]
    checkpoints: Mapping[str, Sequence[str]]


class MachineDatabase:
    """One database, and its clients: several at once on PostgreSQL; on SQLite one after the other."""

    def __init__(self, url: str, clients: int) -> None:
        self._runner = asyncio.Runner()
        self.clock = Clock()
        self._url = url
        self.max_running: dict[str, int] = {}
        self.shared = url.startswith("postgresql")
        self.mark = "%s" if self.shared else "?"
        self.clients = [self._client() for _ in range(clients)]
        for client in self.clients:
            self.run(client.open())
        self.run(Checkpoints(self.clients[0]).setup())
        self.clients[0].database.write(lambda connection, now: WRITES.metadata.create_all(connection))
        self.clients[0].database.write(lambda connection, now: prepare_refusals(connection))

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """In the clients' event loop. The runner itself would take longer than the work: it minds signals."""
        return self._runner.get_loop().run_until_complete(work)

    def limit(self, max_running: Mapping[str, int]) -> None:
        """From now on claims keep to these runs at once, by graph."""
        self.max_running = dict(max_running)
        for client in self.clients:
            client._max_running = self.max_running

    def empty(self) -> None:
        """As new."""
        self.clock.now = START

        def work(connection: Connection, now: datetime) -> None:
            for table in (CHECKPOINTS, WRITES, *reversed(metadata.sorted_tables)):
                connection.execute(delete(table))

        self.clients[0].database.write(work)
        for client in self.clients:
            self.run(client.unpublished(1))  # so that it forgets what it has handed out

    def look(self, known: int) -> Coroutine[Any, Any, Seen]:
        """What is there, but for so many of the graphs' writes."""

        def work(connection: Connection) -> Seen:
            return Seen(
                [dict(row) for row in connection.execute(_runs).mappings()],
                [Write(*row) for row in connection.execute(_writes.offset(known).limit(10_000))],
                {(str(row[0]), row[1]) for row in connection.execute(_steps)},
                read_checkpoints(connection),
            )

        return self.clients[0].read(work)

    def trim(self, number: int) -> None:
        """Let a client remove all old checkpoints that it may."""
        done: str | None = ""
        while done is not None:
            done = self.run(self.clients[number].trim_checkpoints(done, 100)).done

    @contextmanager
    def refusing(self, run: UUID, change: Change) -> Iterator[None]:
        """The database does not let this run's row change so, until the block ends."""
        write = self.clients[0].database.write
        write(lambda connection, now: refuse(connection, run, change))
        try:
            yield
        finally:
            write(lambda connection, now: refuse(connection, None))

    def prune(self, number: int, limit: int) -> tuple[set[UUID], set[str]]:
        """Let a client forget all that it may.

        :returns: the runs and the tasks that are left.
        """
        self.run(self.clients[number].prune(timedelta(0), timedelta(days=365), limit))

        def work(connection: Connection) -> tuple[set[UUID], set[str]]:
            runs = connection.execute(select(workflow_runs.c.correlation_id)).scalars()
            return set(runs), set(connection.execute(select(tasks.c.task)).scalars())

        return self.run(self.clients[number].read(work))

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
        return SqlRunStore(
            self._url, lease_seconds=LEASE, keep_checkpoints=KEEP, max_running=self.max_running, now=self.clock
        )
