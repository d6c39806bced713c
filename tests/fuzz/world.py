"""The worker's way of an event without Kafka: screened, refused or accepted by the real store, steered, run, pruned."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel import Pregel
from sqlalchemy import Connection, func, select

from langgraph_worker.broker.port import Producer
from langgraph_worker.control.control_messages import ControlMessages
from langgraph_worker.domain.models import Claim, Refusal, Request
from langgraph_worker.intake.screening import Rejected, ScreeningRules, screen
from langgraph_worker.publishing.dead_letters import PREFIX, DeadLetters
from langgraph_worker.store.migrations.schema import cancellations, tombstones, workflow_runs
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.fuzz.judge import judge, judge_accepted
from tests.fuzz.meaning import judge_power
from tests.fuzz.mutator import Sample
from tests.fuzz.valid_events import MODEL, WINDOW, interrupt_id
from tests.fuzz.wrong import Wrong
from tests.support.run_store import Clock
from workflow_events.codec import ControlMessage, Record, decode_control, decode_progress, decode_result
from workflow_events.control import WorkflowCancelledEvent
from workflow_events.errors import DecodeError
from workflow_events.headers import value_of
from workflow_events.results import Interrupt, ResultStatus, WorkflowResultEvent

RULES = ScreeningRules(
    graphs={"echo"},
    default_graph="echo",
    results_topic="results",
    reply_topics={"results"},
    models={MODEL},
    max_bytes=1_000_000,
    worker_id="fuzz",
)
HANG_SECONDS = 30.0
"""Seconds that a batch may take."""

_WEEK = timedelta(days=7)
_KEPT = timedelta(hours=1)
_RUNS_A_BATCH = 25


class Letters(Producer):
    """Takes dead letters, and keeps those of the batch."""

    def __init__(self) -> None:
        self.written: dict[int, list[tuple[str, bytes | str | None]]] = {}

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | str | None]]
    ) -> None:
        self.written[int(value_of(headers, PREFIX + "offset") or -1)] = list(headers)

    def close(self, timeout: float) -> None:
        """Nothing is under way."""


@dataclass
class World:
    """One store, and what has become of all that it was given.

    :ivar slowest: seconds that the screening of one event took at most.
    """

    store: SqlRunStore
    clock: Clock
    became: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    letters: Letters = field(default_factory=Letters)

    def __post_init__(self) -> None:
        self._dead_letters = DeadLetters(self.letters, "dead-letters", "fuzz")
        built = StateGraph(MessagesState).add_node("echo", lambda _: {}).add_edge(START, "echo")
        self._graph: Pregel[Any] = built.compile()
        self._steering = ControlMessages(self.store, _WEEK, lambda: None)

    async def take(self, samples: Sequence[Sample], steering: Sequence[Sample]) -> None:
        """One batch, as an intake takes it, and judge it; then what a fleet does meanwhile.

        :raises Wrong: something is not as it must be.
        :raises TimeoutError: it hangs.
        """
        async with asyncio.timeout(HANG_SECONDS):
            entries = await self._screened(samples)
            accepted = await self.store.accept(entries)
            rows = await self.store.read(lambda connection: _rows(connection, [one.correlation_id for one in accepted]))
            judge_accepted(entries, accepted, rows)
            self.became.update(one.decision.value for one in accepted)
            await self._steer([sample.record("control") for sample in steering])
            await self._run(samples[0].number)

    async def _screened(self, samples: Sequence[Sample]) -> list[Request | Refusal]:
        self.letters.written.clear()
        entries: list[Request | Refusal] = []
        for sample in samples:
            record = sample.record()
            began = time.perf_counter()
            found = screen(record, RULES)
            self.slowest = max(self.slowest, time.perf_counter() - began)
            try:
                judge(sample, record, found, RULES)
                may_run = not isinstance(found, Request) or judge_power(found.event, self._graph)
                _other_readers(record)
                await self._bury(sample, record, found)
            except Wrong as error:
                raise Wrong(f"event {sample.number} ({', '.join(sample.recipe)}): {error}") from None
            if isinstance(found, Request) and not may_run:
                self.became["not allowed"] += 1
            entry = found if isinstance(found, Request) else found.refusal
            if entry is not None:
                entries.append(entry)
        return entries

    async def _bury(self, sample: Sample, record: Record, found: Request | Rejected) -> None:
        if isinstance(found, Request):
            return
        self.became["dead letter" if found.refusal else "dead letter that nobody waits for"] += 1
        await self._dead_letters.write(record, found.fault.name, found.reason)
        written = self.letters.written.get(sample.number)
        if written is None or value_of(written, PREFIX + "error-type") != found.fault.name:
            raise Wrong("its dead letter is not written")

    async def _steer(self, records: Sequence[Record]) -> None:
        """Cancel, supersede and ask again; every cancel that can be read has to count."""
        await self._steering.take(records, old=False)
        cancels = {
            message.correlation_id
            for record in records
            if isinstance(message := _steers(record), WorkflowCancelledEvent)
        }
        lost = cancels - await self.store.read(lambda connection: _cancelled(connection, cancels))
        if lost:
            raise Wrong(f"these were cancelled, and the store does not know: {', '.join(map(str, lost))}")
        self.became["steered"] += len(cancels)

    async def _run(self, number: int) -> None:
        """Some runs end, some ask, some stay with an owner; time passes, results are published, old ones pruned."""
        rng = Random(number)
        claims = await self.store.claim("fuzz", _RUNS_A_BATCH, ["echo"])
        endings = [(claim, _ending(claim, rng, number // WINDOW, place)) for place, claim in enumerate(claims)]
        await asyncio.gather(*(self.store.finish(*one) for one in endings if rng.random() < 0.9))
        waiting = await self.store.unpublished(1_000)
        await self.store.published([out.correlation_id for out in waiting])
        self.clock.advance(60)
        await self.store.expire(["echo"], 120.0)
        await self.store.prune(_KEPT, _KEPT, 500)

    async def count(self) -> int:
        """Rows of runs that are kept."""
        return await self.store.read(
            lambda connection: connection.execute(select(func.count()).select_from(workflow_runs)).scalar_one()
        )


def _ending(claim: Claim, rng: Random, window: int, place: int) -> WorkflowResultEvent:
    status = rng.choice((ResultStatus.SUCCESS, ResultStatus.SUCCESS, ResultStatus.FAILURE, ResultStatus.INTERRUPTED))
    asks = status is ResultStatus.INTERRUPTED
    return WorkflowResultEvent(
        correlation_id=claim.correlation_id,
        workflow_id=claim.event.workflow_id,
        workflow_run_id=claim.event.workflow_run_id,
        status=status,
        result={"said": claim.event.payload.data} if status is ResultStatus.SUCCESS else None,
        interrupts=[Interrupt(id=interrupt_id(window + place % 2, place % 4), value="?")] if asks else [],
        finished_at=datetime.now(UTC),
    )


def _rows(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    found = connection.execute(select(workflow_runs).where(workflow_runs.c.correlation_id.in_(ids))).mappings()
    return {row["correlation_id"]: dict(row) for row in found}


def _steers(record: Record) -> ControlMessage | None:
    if len(record.value or b"") > RULES.max_bytes:
        return None
    try:
        return decode_control(record)
    except DecodeError:
        return None


def _cancelled(connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Those of the ids that can never run any more."""
    runs = workflow_runs.c
    found: set[UUID] = set()
    for query in (
        select(cancellations.c.correlation_id).where(cancellations.c.correlation_id.in_(ids)),
        select(tombstones.c.correlation_id).where(tombstones.c.correlation_id.in_(ids)),
        select(runs.correlation_id).where(runs.correlation_id.in_(ids), runs.finished_at.is_not(None)),
    ):
        found |= set(connection.execute(query).scalars())
    return found


def _other_readers(record: Record) -> None:
    """The same bytes where another reader might meet them."""
    for decode in (decode_control, decode_result, decode_progress):
        try:
            decode(record)
        except DecodeError as error:
            if not str(error).startswith(f"{record.where}: "):
                raise Wrong(f"{decode.__name__} does not say where: {error}") from None
