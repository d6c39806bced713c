"""Workers that read the control topic: each from its beginning to its end before it takes anything in, then on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from hypothesis import note

from langgraph_worker.control.control_messages import ControlMessages
from langgraph_worker.domain.models import Decision
from tests.support.airflow_model import Asked
from tests.support.machine_database import MachineDatabase
from tests.support.scripted_graph import GraphRun
from tests.support.store_world import World
from workflow_events.codec import Record, encode
from workflow_events.control import (
    PauseScope,
    WorkflowCancelledEvent,
    WorkflowPausedEvent,
    WorkflowQueryEvent,
    WorkflowSupersededEvent,
    WorkflowUnpausedEvent,
)

SLOTS = 2
KEEP = timedelta(days=365)


class ReaderState(Enum):
    """How far a worker has come."""

    DOWN = "down"
    CATCHING_UP = "catching up"
    UP = "up"


@dataclass
class Reader:
    """A worker's position in the control topic.

    :param position: all before it was applied.
    """

    state: ReaderState = ReaderState.DOWN
    position: int = 0


class ControlWorld(World):
    """A world whose workers read control messages.

    :ivar log: the control topic: each message, and with an announcement the attempt's first request.
    :ivar readers: one for each worker.
    :ivar paused: of each scope that a message was read of, when it was changed last, and whether it is paused.
    """

    def __init__(self, database: MachineDatabase) -> None:
        super().__init__(database)
        self.log: list[
            WorkflowCancelledEvent
            | WorkflowQueryEvent
            | WorkflowPausedEvent
            | WorkflowUnpausedEvent
            | tuple[WorkflowSupersededEvent, Asked]
        ] = []
        self.paused: dict[tuple[str, str], tuple[datetime, bool]] = {}
        self.readers = [Reader() for _ in database.clients]
        self._last_query: dict[UUID, UUID] = {}

    # ---- what is published ----

    def cancel(self, correlation_id: UUID) -> None:
        """A person or a task wants a request to end."""
        self.log.append(WorkflowCancelledEvent(correlation_id=correlation_id, reason="enough"))

    def announce(self, asked: Asked) -> None:
        """The provider announces a new try."""
        assert asked.attempt is not None
        self.log.append((WorkflowSupersededEvent(attempt=asked.attempt), asked))

    def query(self, query: WorkflowQueryEvent) -> None:
        """A waiter asks for results that it can no longer read; perhaps again."""
        self.log.append(query)

    def pause(self, scope: PauseScope, name: str, at: datetime, *, is_on: bool) -> None:
        """A person pauses a scope, or ends its pause, by a clock of that person's own."""
        kind = WorkflowPausedEvent if is_on else WorkflowUnpausedEvent
        self.log.append(kind(scope=scope, name=name, timestamp=at))

    # ---- workers ----

    def is_up(self, client: int) -> bool:
        return self.readers[client].state is ReaderState.UP

    def room(self, client: int) -> int:
        """The free slots of a worker."""
        return SLOTS - sum(at == client for at, _ in self.runs)

    def start(self, client: int) -> None:
        """A worker begins to read the control topic, and does nothing else yet."""
        note(f"  {client} starts")
        self.readers[client] = Reader(ReaderState.CATCHING_UP)
        self.read(client, 0)

    def stop(self, client: int) -> None:
        """A worker's process dies."""
        self.kill(client)
        self.readers[client] = Reader()

    def read(self, client: int, count: int) -> None:
        """A worker reads on in the control topic."""
        reader = self.readers[client]
        taken = self.log[reader.position : reader.position + count]
        if taken:
            self._steer(client, taken, old=reader.state is ReaderState.CATCHING_UP)
            reader.position += len(taken)
        if reader.position == len(self.log) and reader.state is ReaderState.CATCHING_UP:
            reader.state = ReaderState.UP
            note(f"  {client} has caught up")

    def claim(self, client: int, worker: str, limit: int) -> list[GraphRun]:
        taken = super().claim(client, worker, limit)
        read = self.log[: self.readers[client].position]
        known = {entry.correlation_id for entry in read if isinstance(entry, WorkflowCancelledEvent)}
        assert not {run.id for run in taken} & known, "started after its cancel was read"
        held = [run.id for run in taken if self.is_paused(run.claim.graph, run.claim.event.workflow_id)]
        assert not held, "started in a pause"
        return taken

    def cancel_while_it_comes(self, client: int, other: int, asked: Asked) -> None:
        """A request that no worker has seen is accepted by one while another, or the same, applies its cancel."""
        self.look()
        self.cancel(asked.id)
        steering, records = self._steering(other), _records(self.log[-1:])

        async def both() -> Decision:
            accept = self.database.clients[client].accept([asked.request])
            [accepted], _ = await asyncio.gather(accept, steering.take(records, False))
            return accepted.decision

        decision = self.do(both())
        note(f"  {asked}: {decision.value}, and is cancelled")
        if decision is Decision.CANCELLED:
            self.judge.cancelled.add(asked.id)
        self.judge.take(asked, decision)
        self.judge.cancelled.add(asked.id)
        assert self.see() == [asked.id], f"{asked} and its cancel missed each other"

    # ---- inside ----

    def _steering(self, client: int) -> ControlMessages:
        return ControlMessages(self.database.clients[client], KEEP, lambda: None)

    def _steer(self, client: int, taken: Sequence[object], *, old: bool) -> None:
        """Apply messages, and see that exactly what has to happen does."""
        self.look()
        before = self.rows
        expected = self._cancelled(taken)
        for entry in taken:
            if isinstance(entry, tuple):
                expected |= self.judge.announce(entry[1]) - expected
        self.do(self._steering(client).take(_records(taken), old))
        self._pause(taken)
        on = {(one.scope.value, one.name) for one in self.do(self.database.clients[client].pauses())}
        assert on == {key for key, (_, is_on) in self.paused.items() if is_on}
        ended = self.see()
        assert set(ended) == expected
        self.void(ended)
        again = [] if old else self._published_again(taken)
        for request, row in self.rows.items():
            asked = 1 if request in expected else before[request]["publish_asked"]
            assert row["publish_asked"] == asked + again.count(request), f"{request} is published otherwise than asked"

    def _pause(self, taken: Sequence[object]) -> None:
        for entry in taken:
            if isinstance(entry, WorkflowPausedEvent | WorkflowUnpausedEvent):
                key, change = (entry.scope.value, entry.name), (entry.timestamp, isinstance(entry, WorkflowPausedEvent))
                self.paused[key] = max(self.paused.get(key, change), change)

    def is_paused(self, graph: str, workflow: str) -> bool:
        keys = [(PauseScope.FLEET, ""), (PauseScope.GRAPH, graph), (PauseScope.WORKFLOW, workflow)]
        return any(self.paused.get((scope.value, name), (None, False))[1] for scope, name in keys)

    def _cancelled(self, taken: Sequence[object]) -> set[UUID]:
        """The requests that cancels end now."""
        requests = [entry.correlation_id for entry in taken if isinstance(entry, WorkflowCancelledEvent)]
        note(f"  cancels: {', '.join(str(request)[:6] for request in requests)}" if requests else "  no cancels")
        unfinished = {request for request in requests if request not in self.results}
        self.judge.cancelled |= unfinished
        return {request for request in unfinished if request in self.judge.accepted}

    def _published_again(self, taken: Sequence[object]) -> list[UUID]:
        """The results that queries ask for, each for the first time since another query did."""
        published = []
        for query in taken:
            if isinstance(query, WorkflowQueryEvent):
                named = {request for request in query.correlation_ids if request in self.replies}
                wanted = {request for request in named if self._last_query.get(request) != query.query_id}
                self._last_query.update(dict.fromkeys(wanted, query.query_id))
                published += wanted
        return published


def _records(messages: Sequence[object]) -> list[Record]:
    events: list[Any] = [entry[0] if isinstance(entry, tuple) else entry for entry in messages]
    return [Record("control", 0, offset, encode(event).value, None) for offset, event in enumerate(events)]
