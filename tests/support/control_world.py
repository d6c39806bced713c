"""Workers that read the control topic: each from its beginning to its end before it takes anything in, then on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from uuid import UUID

from hypothesis import note

from langgraph_worker.control import Steering
from langgraph_worker.store.port import Decision
from tests.support.airflow_model import Asked
from tests.support.machine_database import MachineDatabase
from tests.support.scripted_graph import GraphRun
from tests.support.store_world import World
from workflow_events.codec import Record, encode
from workflow_events.control import WorkflowCancelledEvent, WorkflowQueryEvent, WorkflowSupersededEvent

SLOTS = 2
KEEP = timedelta(days=365)


class Standing(Enum):
    """How far a worker has come."""

    DOWN = "down"
    CATCHING_UP = "catching up"
    UP = "up"


@dataclass
class Reader:
    """A worker's place in the control topic.

    :param position: all before it was applied.
    """

    standing: Standing = Standing.DOWN
    position: int = 0


class ControlWorld(World):
    """A world whose workers are steered.

    :ivar log: the control topic: each message, and of an announcement the attempt's first request.
    :ivar readers: of each worker.
    """

    def __init__(self, database: MachineDatabase) -> None:
        super().__init__(database)
        self.log: list[WorkflowCancelledEvent | WorkflowQueryEvent | tuple[WorkflowSupersededEvent, Asked]] = []
        self.readers = [Reader() for _ in database.clients]
        self._last_query: dict[UUID, UUID] = {}

    # ---- what is published ----

    def cancel(self, of: UUID) -> None:
        """Somebody wants a request to end."""
        self.log.append(WorkflowCancelledEvent(correlation_id=of, reason="enough"))

    def announce(self, asked: Asked) -> None:
        """The provider tells of a new try."""
        assert asked.attempt is not None
        self.log.append((WorkflowSupersededEvent(attempt=asked.attempt), asked))

    def query(self, query: WorkflowQueryEvent) -> None:
        """A waiter asks for results that it can no longer read; perhaps again."""
        self.log.append(query)

    # ---- workers ----

    def is_up(self, client: int) -> bool:
        return self.readers[client].standing is Standing.UP

    def room(self, client: int) -> int:
        """The free slots of a worker."""
        return SLOTS - sum(at == client for at, _ in self.runs)

    def start(self, client: int) -> None:
        """A worker begins to read the control topic, and does nothing else yet."""
        note(f"  {client} starts")
        self.readers[client] = Reader(Standing.CATCHING_UP)
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
            self._steer(client, taken, old=reader.standing is Standing.CATCHING_UP)
            reader.position += len(taken)
        if reader.position == len(self.log) and reader.standing is Standing.CATCHING_UP:
            reader.standing = Standing.UP
            note(f"  {client} has caught up")

    def claim(self, client: int, worker: str, limit: int) -> list[GraphRun]:
        taken = super().claim(client, worker, limit)
        read = self.log[: self.readers[client].position]
        known = {one.correlation_id for one in read if isinstance(one, WorkflowCancelledEvent)}
        assert not {run.id for run in taken} & known, "started after its cancel was read"
        return taken

    def cancel_while_it_comes(self, client: int, other: int, asked: Asked) -> None:
        """A request that nobody has seen is accepted by one worker while another, or the same, applies its cancel."""
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

    def _steering(self, client: int) -> Steering:
        return Steering(self.database.clients[client], KEEP, lambda: None)

    def _steer(self, client: int, taken: Sequence[object], *, old: bool) -> None:
        """Apply messages, and see that exactly what has to happen does."""
        self.look()
        before = self.rows
        expected = self._cancelled(taken)
        for one in taken:
            if isinstance(one, tuple):
                expected |= self.judge.announce(one[1]) - expected
        self.do(self._steering(client).take(_records(taken), old))
        ended = self.see()
        assert set(ended) == expected
        self.void(ended)
        again = [] if old else self._published_again(taken)
        for of, row in self.rows.items():
            asked = 1 if of in expected else before[of]["publish_asked"]
            assert row["publish_asked"] == asked + again.count(of), f"{of} is published otherwise than asked"

    def _cancelled(self, taken: Sequence[object]) -> set[UUID]:
        """The requests that cancels end now."""
        ids = [one.correlation_id for one in taken if isinstance(one, WorkflowCancelledEvent)]
        note(f"  cancels: {', '.join(str(of)[:6] for of in ids)}" if ids else "  no cancels")
        self.judge.cancelled |= {of for of in ids if of not in self.results}
        return {of for of in ids if of in self.judge.accepted and of not in self.results}

    def _published_again(self, taken: Sequence[object]) -> list[UUID]:
        """The results that queries ask for, each for the first time since another query did."""
        found = []
        for query in taken:
            if isinstance(query, WorkflowQueryEvent):
                named = {of for of in query.correlation_ids if of in self.results}
                wanted = {of for of in named if self._last_query.get(of) != query.query_id}
                self._last_query.update(dict.fromkeys(wanted, query.query_id))
                found += wanted
        return found


def _records(messages: Sequence[object]) -> list[Record]:
    events = [one[0] if isinstance(one, tuple) else one for one in messages]
    return [Record("control", 0, place, encode(one).value, None) for place, one in enumerate(events)]  # type: ignore[arg-type]
