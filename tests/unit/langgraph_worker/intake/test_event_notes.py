"""What the intake says of requests that it accepts, to their waiters and in the worker's log."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from langgraph_worker.broker.port import Batch
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.intake.batch_queue import BatchQueue
from langgraph_worker.intake.event_notes import EventNotes
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.intake.intake import Intake, IntakeOutputs
from langgraph_worker.intake.screening import ScreeningRules, screen
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.progress import Progress
from langgraph_worker.testing.memory_store.store import MemoryDatabase, MemoryRunStore
from tests.unit.langgraph_worker.intake.test_screening import PLAIN
from workflow_events.codec import Record
from workflow_events.control import PauseScope

RULES = ScreeningRules({"count"}, "count", "results", {"results"}, (), 100_000, "w1")


class Sent:
    """Keeps the progress that is published."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def offer(self, topic: str, key: bytes, value: bytes, headers: Any) -> bool:
        self.bodies.append(json.loads(value))
        return True

    def close(self, timeout: float) -> None:
        pass


class Consumer:
    def allow(self, total: int) -> None:
        pass

    def look_ahead(self, wanted: bool) -> None:
        pass


class NoDeadLetters:
    async def write(self, record: Record, error_type: str, reason: str) -> None:
        raise AssertionError(reason)

    write_undecodable = write


def new_store() -> MemoryRunStore:
    return MemoryRunStore(MemoryDatabase(), lambda: datetime.now(UTC))


def record(offset: int, **fields: Any) -> Record:
    return Record("events", 0, offset, json.dumps(PLAIN | fields).encode(), timestamp_ms=1_700_000_000_000, cluster="c")


async def notes_of(*records: Record, workers: tuple[WorkerInfo, ...] = ()) -> list[list[str]]:
    """What the ACCEPTED messages of these records say."""
    return [body["data"].get("notes", []) for body in await progress_of(*records, workers=workers)]


async def progress_of(
    *records: Record, workers: tuple[WorkerInfo, ...] = (), pauses: tuple[PauseChange, ...] = ()
) -> list[dict[str, Any]]:
    """The progress messages of these records, through the intake and a store."""
    store, sent, batches = new_store(), Sent(), BatchQueue()
    await store.open()
    for worker in workers:
        await store.announce(worker)
    room = FreeRoom(Consumer(), store, 9, 9, BacklogLimits(store, load_settings({})))
    outputs = IntakeOutputs(NoDeadLetters(), store, lambda batch: None, room, lambda: None)
    progress = Progress(sent, "progress", worker_id="w1", per_second=9.0)
    intake = Intake(batches, RULES, outputs, progress, pauses=lambda: pauses)
    batches.offer(Batch(records, {0: 1}))
    intake.stop()
    await intake.run()
    return sent.bodies


def worker(name: str, *graphs: str) -> WorkerInfo:
    return WorkerInfo(name, "1", "events", "group", dict.fromkeys(graphs, ""))


async def test_a_typo_in_the_graphs_name_is_said_as_soon_as_the_request_is_taken(caplog):
    [[note]] = await notes_of(record(1, graph="cuont"), workers=(worker("w2", "counter"),))
    assert note == (
        "no worker serves a graph named 'cuont' so far. Known: count, counter. Did you mean 'count'? The request "
        "waits 60 s for one, then ends as unknown_graph"
    )
    assert any(note in line.getMessage() and line.levelno == logging.WARNING for line in caplog.records)


async def test_a_graph_that_no_worker_serves_is_not_said_to_start(caplog):
    caplog.set_level(logging.INFO)
    await notes_of(record(1, graph="cuont"), record(2))
    accepted = [line.getMessage() for line in caplog.records if line.getMessage().startswith("accepted: ")]
    assert accepted[0].startswith("accepted: graph cuont waits for a worker that serves it: ")
    assert accepted[1].startswith("accepted: graph count starts from its input: ")


async def test_graphs_of_this_worker_and_of_others_need_no_note():
    assert await notes_of(record(1), record(2, graph="other"), workers=(worker("w2", "other"),)) == [[], []]


async def test_misspelt_fields_are_said_to_the_waiter_and_in_the_log(caplog):
    [notes] = await notes_of(record(1, threadId="talk", dead_line="2030-01-01T00:00:00Z"))
    assert notes == [
        "field 'threadId' is not known, and has no effect: did you mean 'thread_id'?",
        "field 'dead_line' is not known, and has no effect: did you mean 'deadline'?",
    ]
    warned = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    assert warned == [f"events[0]@1: {note}" for note in notes]


async def test_the_log_names_a_field_once_in_a_while_however_often_it_comes(caplog):
    seconds = 0.0
    notes = EventNotes(new_store(), {"count"}, 60.0, lambda: seconds)
    request: Any = screen(record(1, threadId="talk"), RULES)
    for seconds in (0.0, 1.0, 599.0, 600.0):  # noqa: B007 - the clock
        assert len(notes.about(request, {})) == 1
    assert caplog.text.count("threadId") == 2


@pytest.mark.parametrize("name", ["x\x1b[2J\nERROR", "g" * 512])
async def test_a_graphs_name_is_neutral_in_a_note(name: str):
    [[note]] = await notes_of(record(1, graph=name))
    assert note.isprintable()


async def test_a_request_that_is_paused_is_said_to_wait_since_when_and_why(caplog):
    caplog.set_level(logging.INFO)
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    pauses = tuple(
        PauseChange(scope, name, True, since, reason=reason, requested_by="ann")
        for scope, name, reason in [
            (PauseScope.WORKFLOW, "other", "not this one"),
            (PauseScope.GRAPH, "count", "a\nb"),
            (PauseScope.FLEET, "", ""),
        ]
    )
    accepted, paused = await progress_of(record(1, graph="count"), pauses=pauses)
    assert (accepted["kind"], paused["kind"]) == ("accepted", "paused")
    assert paused["data"]["words"] == (
        "the fleet is paused since 2026-03-01 12:00:00 UTC by ann; graph 'count' is paused since 2026-03-01 12:00:00 "
        "UTC by ann: a\\nb"
    )
    [line] = [line.getMessage() for line in caplog.records if line.getMessage().startswith("accepted: ")]
    assert line.startswith("accepted: graph count waits for the end of a pause")
