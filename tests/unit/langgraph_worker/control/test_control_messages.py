"""Each message of the control topic is applied to the store, whatever else comes in its batch."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from langgraph_worker.control.control_messages import ControlMessages
from langgraph_worker.domain import models
from langgraph_worker.domain.models import Cancel, Cancelled, Decision, RunStatus
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.errors import StoreError, UnstorableError
from langgraph_worker.testing.memory_store import MemoryDatabase, MemoryRunStore
from tests.support.run_store import WEEK, Clock, attempt, claim_one, event, publish, ran, replies, request
from tests.support.steering import is_cancelled, is_superseded, take
from workflow_events.codec import Message, Record, encode
from workflow_events.control import (
    PauseScope,
    WorkflowCancelledEvent,
    WorkflowPausedEvent,
    WorkflowQueryEvent,
    WorkflowSupersededEvent,
    WorkflowUnpausedEvent,
)
from workflow_events.models import Attempt

KEEP = timedelta(days=3)


class Store(MemoryRunStore):
    """In memory, with trouble.

    :ivar trouble: raised by the next calls, one after the other.
    :ivar bad: cannot be kept.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(MemoryDatabase(), clock)
        self.trouble: list[Exception] = []
        self.bad: object = None

    def _refuse(self, items: Collection[object]) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        if self.bad in items:
            raise UnstorableError("cannot be kept")

    async def cancel(self, cancels: Sequence[Cancel], keep: timedelta) -> dict[UUID, Cancelled]:
        self._refuse([one.correlation_id for one in cancels])
        return await super().cancel(cancels, keep)

    async def supersede(self, attempts: Sequence[Attempt]) -> int:
        self._refuse([one.task for one in attempts])
        return await super().supersede(attempts)

    async def pause(self, changes: Collection[PauseChange]) -> list[PauseChange]:
        self._refuse([one.name for one in changes])
        return await super().pause(changes)

    async def publish_again(self, query_id: UUID, correlation_ids: Collection[UUID]) -> int:
        self._refuse(correlation_ids)
        return await super().publish_again(query_id, correlation_ids)


class Desk:
    """Steering, and what it says has changed: the counts by status, each time."""

    def __init__(self, store: Store) -> None:
        self.changes: list[Mapping[RunStatus, int]] = []
        self._store = store
        self.steering = ControlMessages(store, KEEP, self._changed)

    def _changed(self) -> None:
        runs = self._store.database.state.runs.values()
        self.changes.append({status: sum(run.status is status for run in runs) for status in RunStatus})

    async def take(self, *said: Message | bytes, old: bool = False) -> None:
        values = [one if isinstance(one, bytes) else encode(one).value for one in said]
        records = [Record("control", 0, offset, value, None) for offset, value in enumerate(values)]
        await self.steering.take(records, old)


def cancel(request_id: UUID) -> WorkflowCancelledEvent:
    return WorkflowCancelledEvent(correlation_id=request_id, reason="too dear", requested_by="ann")


def newer(number: int, task: str = "t" * 64) -> WorkflowSupersededEvent:
    return WorkflowSupersededEvent(attempt=attempt(number, task=task))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[Store]:
    store = Store(clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


@pytest.mark.parametrize("old", [True, False])
async def test_cancels_are_applied_whenever_they_were_written(store, desk, old):
    here, to_come = event(), event()
    await take(store, here)
    await desk.take(cancel(here.event_id), cancel(to_come.event_id), old=old)
    assert await take(store, to_come) == [Decision.CANCELLED]
    for one in (here, to_come):
        await is_cancelled(store, one.event_id)


@pytest.mark.parametrize("old", [True, False])
async def test_newer_attempts_supersede_whenever_they_were_written(store, desk, old):
    first = event(attempt(1))
    await take(store, first)
    await desk.take(newer(2), old=old)
    await is_superseded(store, first.event_id)
    assert await take(store, attempt(1, agent="b"), attempt(2)) == [Decision.LATE, Decision.RESUMED]


async def test_an_attempt_of_the_future_ends_nothing(store, desk, caplog):
    first = event(attempt(1))
    await take(store, first)
    soon = round(datetime.now(UTC).timestamp() + 3_600) * 1000
    await desk.take(WorkflowSupersededEvent(attempt=attempt(2, at=soon)))
    assert "control[0]@0: field 'attempt.id': its time lies" in caplog.text
    assert await take(store, attempt(1, agent="b"), attempt(2)) == [Decision.FRESH, Decision.RESUMED]


async def test_no_cancel_is_forgotten_in_silence(desk, clock, monkeypatch, caplog):
    monkeypatch.setattr(models, "MOST_EARLY_CANCELS", 1)
    first = uuid4()
    await desk.take(cancel(first))
    clock.advance(1)
    await desk.take(cancel(uuid4()), cancel(uuid4()))
    [line] = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert line.startswith("2 cancels are forgotten")
    assert str(first) in line


async def test_queries_of_now_are_answered_once(store, desk):
    done = request()
    await ran(store, done)
    query = WorkflowQueryEvent(correlation_ids=[done.event.event_id, uuid4()])
    await desk.take(query, query)
    assert list(await replies(store)) == [done.event.event_id]
    await publish(store)
    await desk.take(query)
    assert await replies(store) == {}


async def test_queries_from_before_are_not_answered(store, desk):
    done = request()
    await ran(store, done)
    await desk.take(WorkflowQueryEvent(correlation_ids=[done.event.event_id]), old=True)
    assert await replies(store) == {}


async def test_everybody_is_told_after_all_of_a_batch_was_applied(store, desk):
    first, second = event(attempt(1)), event()
    await take(store, first, second)
    await desk.take(newer(2), cancel(second.event_id))
    assert [counts[RunStatus.CANCELLED] for counts in desk.changes] == [2]


async def test_what_another_worker_has_applied_is_told_all_the_same(store, desk):
    """Its run may be one of this worker's."""
    await take(store, None)
    claim = await claim_one(store)
    await store.cancel([Cancel(claim.correlation_id)], KEEP)
    await desk.take(cancel(claim.correlation_id))
    assert len(desk.changes) == 1


async def test_a_result_is_queried_after_its_cancel_in_one_batch(store, desk):
    here = event()
    await take(store, here)
    await desk.take(WorkflowQueryEvent(correlation_ids=[here.event_id]), cancel(here.event_id))
    await is_cancelled(store, here.event_id)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"event_type": "workflow.triggered"}',
        b'{"event_type": "workflow.cancelled"}',
    ],
    ids=["empty", "cut", "list", "deep", "other type", "nothing named"],
)
async def test_garbage_is_named_and_the_rest_of_its_batch_applied(store, desk, caplog, garbage):
    here = event()
    await take(store, here)
    await desk.take(garbage, cancel(here.event_id), garbage)
    await is_cancelled(store, here.event_id)
    ignored = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert ["control[0]@0" in ignored[0], "control[0]@2" in ignored[1], len(ignored)] == [True, True, 2]


async def test_garbage_alone_changes_nothing(desk):
    await desk.take(b"garbage")
    await desk.take()
    assert desk.changes == []


async def test_a_store_that_is_away_is_waited_for(store, desk):
    here, first, done = event(), event(attempt(1)), request()
    await ran(store, done)
    await take(store, here, first)
    for one in (cancel(here.event_id), newer(2), WorkflowQueryEvent(correlation_ids=[done.event.event_id])):
        store.trouble = [StoreError("away")]
        await desk.take(one)
    assert store.trouble == []
    assert set(await replies(store)) == {here.event_id, first.event_id, done.event.event_id}


async def test_what_no_waiting_helps_ends_the_reader(store, desk):
    store.trouble = [StoreError("a newer schema", retriable=False)]
    with pytest.raises(StoreError, match="a newer schema"):
        await desk.take(cancel(uuid4()))
    assert desk.changes == []


async def test_what_cannot_be_kept_is_left_out(store, desk, caplog):
    good, bad, first = event(), event(), event(attempt(1))
    await take(store, good, bad, first)
    store.bad = bad.event_id
    await desk.take(cancel(bad.event_id), cancel(good.event_id))
    store.bad = "x" * 64
    await desk.take(newer(2, "x" * 64), newer(2))
    assert set(await replies(store)) == {good.event_id, first.event_id}
    assert [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR] == [
        f"ignored on the control topic, {bad.event_id}: cannot be kept",
        f"ignored on the control topic, try 2 of task {'x' * 64}: cannot be kept",
    ]


async def test_a_cancel_waits_as_long_as_it_is_told_to(store, desk, clock):
    soon, late = event(), event()
    await desk.take(cancel(soon.event_id), cancel(late.event_id))
    clock.advance(KEEP.total_seconds() - 1)
    await store.prune(WEEK, WEEK, 1)
    assert await take(store, soon) == [Decision.CANCELLED]
    clock.advance(1)
    await store.prune(WEEK, WEEK, 1)
    assert await take(store, late) == [Decision.FRESH]


async def test_what_is_too_large_to_be_a_control_message_is_not_even_read(caplog: pytest.LogCaptureFixture) -> None:
    message = encode(WorkflowCancelledEvent(correlation_id=uuid4()))
    large = Record("control", 0, 7, message.value + b" " * 1_000_000)
    await ControlMessages(Store(Clock()), KEEP, lambda: None).take([large], old=False)
    assert "control[0]@7: " in caplog.text
    assert "are no control message" in caplog.text


async def test_a_query_that_names_what_cannot_be_read_is_answered_for_the_others(store, desk, caplog):
    good, bad = event(), event()
    await take(store, good, bad)
    await desk.take(cancel(good.event_id), cancel(bad.event_id))
    await store.published(list(await replies(store)))
    assert await replies(store) == {}
    store.bad = bad.event_id
    ids = [good.event_id, bad.event_id]
    await desk.take(WorkflowQueryEvent(query_id=uuid4(), correlation_ids=ids))
    assert set(await replies(store)) == {good.event_id}
    assert f"ignored on the control topic, {bad.event_id}: cannot be kept" in caplog.messages


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("old", [True, False])
async def test_a_pause_is_kept_as_it_was_sent_whenever_it_was_written(store, desk, old):
    sent = WorkflowPausedEvent(scope="graph", name="g", at_once=True, reason="why", requested_by="ann", timestamp=NOON)
    await desk.take(sent, old=old)
    kept = PauseChange(PauseScope.GRAPH, "g", True, NOON, at_once=True, reason="why", requested_by="ann")
    assert await store.pauses() == [kept]
    assert desk.changes


async def test_the_control_topic_read_again_from_its_beginning_changes_no_pause(store, desk):
    later = NOON + timedelta(minutes=1)
    ended = [WorkflowPausedEvent(scope="fleet", timestamp=NOON), WorkflowUnpausedEvent(scope="fleet", timestamp=later)]
    for said in (ended, ended[:1], ended[1:]):
        await desk.take(*said, old=True)
        assert await store.pauses() == []


async def test_a_pause_that_the_store_cannot_keep_is_named_and_the_others_count(store, desk, caplog):
    store.bad = "bad"
    bad = WorkflowPausedEvent(scope="graph", name="bad", timestamp=NOON)
    await desk.take(bad, WorkflowPausedEvent(scope="graph", name="good", timestamp=NOON))
    assert [one.name for one in await store.pauses()] == ["good"]
    assert "ignored on the control topic, the pause of graph 'bad': cannot be kept" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"event_type": "workflow.unpaused"}',
        b'{"event_type": "workflow.unpaused", "scope": "graph"}',
        b'{"event_type": "workflow.unpaused", "scope": "fleet", "name": "g"}',
        b'{"event_type": "workflow.unpaused", "graph": "g"}',
    ],
)
async def test_a_message_that_does_not_say_what_it_ends_ends_nothing(store, desk, caplog, body):
    await desk.take(WorkflowPausedEvent(scope="fleet", timestamp=NOON), body)
    assert len(await store.pauses()) == 1
    assert "ignored on the control topic" in caplog.text
