"""The order of the intake: dead letters, then the store, then the offsets; each when the one before is durable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from langgraph_worker.broker.port import Batch
from langgraph_worker.domain.models import Accepted, Backlog, Decision, Refusal, Request, WorkerInfo
from langgraph_worker.errors import BrokerError, DeadLetterError, RowError, StoreError
from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.intake.batch_queue import BatchQueue
from langgraph_worker.intake.events_topic import EventsTopic
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.intake.intake import Intake, IntakeOutputs
from langgraph_worker.intake.screening import ScreeningRules
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.figures import PREFIX
from langgraph_worker.telemetry.metrics import Metrics
from langgraph_worker.telemetry.progress import Progress
from tests.support.run_store import attempt
from tests.unit.langgraph_worker.intake.test_screening import PLAIN
from workflow_events.codec import Record
from workflow_events.undecodable import UndecodablePlace

ANSWER = PLAIN | {
    "event_type": "workflow.resumed",
    "round": 1,
    "answers": [{"interrupt_id": "i", "value": "yes"}],
}
PLACE = UndecodablePlace("events", 0, 5, 7, "c")
RULES = ScreeningRules({"echo"}, "echo", "results", {"results"}, (), 10_000, "w1")


class Log:
    """Stands in for what the intake writes to, and keeps the order."""

    def __init__(self, *, store: list[Exception] | None = None, dead_letter: Exception | None = None) -> None:
        self.store_trouble = store or []
        self.dead_letter_trouble = dead_letter
        self.done: list[str] = []
        self.metrics = Metrics()
        self.entries: list[Any] = []

    async def accept(self, entries: Any) -> list[Any]:
        await asyncio.sleep(0)
        if self.store_trouble:
            raise self.store_trouble.pop()
        self.entries = list(entries)
        self.done.append("accepted")
        return []

    async def write(self, record: Record, error_type: str, reason: str) -> None:
        await asyncio.sleep(0)
        if self.dead_letter_trouble is not None:
            raise self.dead_letter_trouble
        self.done.append("dead letter")

    async def write_undecodable(self, place: UndecodablePlace) -> None:
        await asyncio.sleep(0)
        if self.dead_letter_trouble is not None:
            raise self.dead_letter_trouble
        self.done.append(f"dead letter of {place.first} to {place.last}")

    def allow(self, total: int) -> None:
        pass

    def look_ahead(self, wanted: bool) -> None:
        pass

    def commit(self, batch: Batch) -> None:
        self.done.append("committed")


def record(body: bytes, *headers: tuple[str, bytes]) -> Record:
    return Record("events", 0, 1, body, list(headers), timestamp_ms=1_700_000_000_000, cluster="c")


async def take(
    log: Log,
    *records: Record,
    is_ahead: bool = False,
    limits: BacklogLimits | None = None,
    undecodable: UndecodablePlace | None = None,
    topic: EventsTopic | None = None,
) -> None:
    batches = BatchQueue()
    free_room = FreeRoom(log, log, 1, 1, limits or BacklogLimits(log, load_settings({})))
    outputs = IntakeOutputs(log, log, log.commit, free_room, lambda: None, log.metrics)
    intake = Intake(batches, RULES, outputs, Progress(), topic)
    places = () if undecodable is None else (undecodable,)
    batches.offer(Batch(records, {} if is_ahead else {0: 1}, is_ahead, places))
    intake.stop()
    await intake.run()


async def test_offsets_are_committed_when_the_store_has_the_batch():
    log = Log()
    await take(log, record(json.dumps(PLAIN).encode()))
    assert log.done == ["accepted", "committed"]
    assert isinstance(log.entries[0], Request)


@pytest.mark.parametrize("now", ["one", "two"])
@pytest.mark.parametrize("places", [None, PLACE])
async def test_offsets_are_committed_only_in_the_topic_that_the_worker_began_to_read(now, places):
    """Also where the batch has nothing but events that name their ids, or what cannot be decoded."""
    log = Log()
    named = [] if places else [record(json.dumps(PLAIN).encode(), ("correlation-id", str(uuid4()).encode()))]

    async def read() -> str:
        log.done.append("asked")
        return now

    taking = take(log, *named, undecodable=places, topic=EventsTopic("events", read, "one", "one"))
    if now == "one":
        await taking
    else:
        with pytest.raises(BrokerError, match="created anew"):
            await taking
    assert log.done[1:] == ["asked", *(["committed"] if now == "one" else [])]


@pytest.mark.parametrize("bodies", [[], [json.dumps(PLAIN).encode()]])
async def test_a_place_that_cannot_be_decoded_is_dead_lettered_before_it_is_committed(bodies, caplog):
    log = Log()
    await take(log, *map(record, bodies), undecodable=PLACE)
    assert log.done == ["dead letter of 5 to 7", *["accepted" for _ in bodies], "committed"]
    assert str(PLACE) in caplog.text
    refused = {"error_type": "undecodable"}
    assert log.metrics.registry.get_sample_value(f"{PREFIX}refused_total", refused) == 1


async def test_without_its_dead_letter_a_place_is_not_committed():
    log = Log(dead_letter=DeadLetterError("no such topic"))
    with pytest.raises(DeadLetterError):
        await take(log, undecodable=PLACE)
    assert log.done == []


async def test_others_get_their_turn_between_the_events_of_a_batch():
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await take(Log(), *[record(json.dumps(PLAIN).encode())] * 50)
    beside.cancel()
    assert turns >= 50


async def test_a_store_that_is_away_is_asked_again_before_anything_is_committed():
    log = Log(store=[StoreError("away")])
    await take(log, record(json.dumps(PLAIN).encode()))
    assert log.done == ["accepted", "committed"]


async def test_an_event_from_the_future_is_taken_and_reported(caplog):
    class Takes(Log):
        async def accept(self, entries: Any) -> list[Any]:
            return [Accepted(entry.event.event_id, Decision.FRESH) for entry in entries]

    ahead = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    log = Takes()
    await take(log, record(json.dumps(PLAIN | {"timestamp": ahead}).encode()))
    assert log.done == ["committed"]
    assert "ahead of this host's" in caplog.text


async def test_a_store_that_fails_for_good_commits_nothing():
    log = Log(store=[StoreError("broken", retriable=False)])
    with pytest.raises(StoreError, match="broken"):
        await take(log, record(json.dumps(PLAIN).encode()))
    assert log.done == []


async def test_garbage_is_a_dead_letter_before_its_offset_is_committed():
    log = Log()
    await take(log, record(b"garbage"))
    assert log.done == ["dead letter", "committed"]


async def test_a_dead_letter_that_cannot_be_written_commits_nothing():
    log = Log(dead_letter=DeadLetterError("no"))
    with pytest.raises(DeadLetterError):
        await take(log, record(b"garbage"))
    assert log.done == []


async def test_a_refusal_is_stored_beside_its_dead_letter():
    log, correlation = Log(), uuid4()
    await take(log, record(b"garbage", ("correlation-id", str(correlation).encode())))
    assert log.done == ["dead letter", "accepted", "committed"]
    [refusal] = log.entries
    assert isinstance(refusal, Refusal)
    assert refusal.result.correlation_id == correlation


async def test_of_what_is_read_ahead_only_answers_are_taken():
    """All else comes once more, in its order: also what is to be refused."""
    log = Log()
    mentions_it = PLAIN | {"payload": {"data": {"text": "workflow.resumed"}}}
    wrong = ANSWER | {"answers": []}
    bodies = [mentions_it, ANSWER, wrong]
    await take(log, *[record(json.dumps(body).encode()) for body in bodies], is_ahead=True)
    assert log.done == ["accepted", "committed"]
    assert [entry.event.answers[0].value for entry in log.entries] == ["yes"]


async def test_a_request_beyond_its_deployments_part_is_answered_and_no_dead_letter():
    class Full(Log):
        async def backlog(self) -> Mapping[tuple[str, str], Backlog]:
            return {("echo", ""): Backlog(5, 1, 0, 0), ("echo", "a"): Backlog(1, 1, 0, 0)}

        async def workers(self, within: float) -> list[WorkerInfo]:
            return []

    log = Full()
    limits = BacklogLimits(log, load_settings({"max_waiting": "10"}), ["echo"])
    await limits.look()
    bodies = [PLAIN, PLAIN | {"attempt": attempt(1, deployment="a").model_dump(mode="json")}, ANSWER]
    await take(log, *[record(json.dumps(body).encode()) for body in bodies], limits=limits)
    assert log.done == ["accepted", "committed"]
    refusal, other, answers = log.entries
    assert (refusal.result.error_type, refusal.result.retriable) == ("overloaded", True)
    assert "events[0]@1: overloaded: 5 requests" in refusal.result.error
    assert isinstance(other, Request)
    assert isinstance(answers, Request)


class Refuses(Log):
    """A store that cannot keep some requests, nor any batch with one of them.

    :param bad: places of the requests in the batch, by ``workflow_run_id``.
    :param answers: whether it keeps the answers to them.
    """

    def __init__(self, *bad: str, answers: bool = True) -> None:
        super().__init__()
        self.bad, self.answers = bad, answers
        self.kept: list[Request | Refusal] = []
        self.letters: list[tuple[str, str]] = []

    async def accept(self, entries: Any) -> list[Any]:
        for entry in entries:
            refused = isinstance(entry, Refusal) and not self.answers
            if refused or (isinstance(entry, Request) and entry.event.workflow_run_id in self.bad):
                raise RowError("a row")
        self.kept += entries
        self.done.append("accepted")
        return [Accepted(_id(entry), Decision.FRESH) for entry in entries]

    async def write(self, record: Record, error_type: str, reason: str) -> None:
        self.letters.append((error_type, reason))
        await super().write(record, error_type, reason)


def _id(entry: Request | Refusal) -> UUID:
    return entry.event.event_id if isinstance(entry, Request) else entry.result.correlation_id


def plain(run: str) -> Record:
    return record(json.dumps(PLAIN | {"workflow_run_id": run, "event_id": str(uuid4())}).encode())


async def test_a_request_that_the_store_cannot_keep_is_refused_alone():
    log = Refuses("b")
    await take(log, plain("a"), plain("b"), plain("c"))
    assert log.done == ["accepted", "dead letter", "accepted", "accepted", "committed"]
    first, refusal, last = log.kept
    assert isinstance(first, Request)
    assert isinstance(last, Request)
    assert (first.event.workflow_run_id, last.event.workflow_run_id) == ("a", "c")
    assert isinstance(refusal, Refusal)
    assert refusal.reply_topic == "results"
    assert refusal.result.workflow_run_id == "b"
    assert (refusal.result.status.value, refusal.result.error_type) == ("error", "not_storable")
    assert log.letters == [("not_storable", "events[0]@1: a row")]
    assert refusal.result.error == "events[0]@1: a row"


async def test_a_request_whose_answer_cannot_be_kept_either_is_set_aside(caplog):
    log = Refuses("b", answers=False)
    await take(log, plain("a"), plain("b"))
    assert log.done == ["accepted", "dead letter", "committed"]
    assert "events[0]@1: set aside without an answer: a row" in caplog.messages


async def test_a_refusal_that_cannot_be_kept_is_set_aside(caplog):
    log = Refuses(answers=False)
    await take(log, record(b"garbage", ("correlation-id", str(uuid4()).encode())), plain("a"))
    assert log.done == ["dead letter", "accepted", "committed"]
    assert "events[0]@1: set aside without an answer: a row" in caplog.messages


class Knows(Log):
    """A store that knows which graph an answer goes on with."""

    async def accept(self, entries: Any) -> list[Any]:
        return [Accepted(_id(entry), Decision.ANSWER, graph="analyst") for entry in entries]


async def test_an_answer_counts_for_the_graph_that_asked(caplog):
    caplog.set_level("INFO")
    log = Knows()
    log.metrics = Metrics(["analyst"])
    answers = [{"interrupt_id": "i1", "value": "yes"}]
    changes = {"event_type": "workflow.resumed", "round": 1, "answers": answers, "payload": {"data": {}}}
    await take(log, record(json.dumps(PLAIN | changes | {"event_id": str(uuid4())}).encode()))
    counted = {"graph": "analyst", "decision": "answer"}
    assert log.metrics.registry.get_sample_value(f"{PREFIX}requests_total", counted) == 1
    assert "graph analyst goes on with an answer" in caplog.text
