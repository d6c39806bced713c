"""Steering a worker from outside: cancels, newer attempts and questions for stored results, on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from devtools.broker import Broker
from devtools.processes import wait_until
from tests.support.ti_ids import new_ti_id
from tests.support.worker import SECONDS, Desk, desk_of
from workflow_events import ResultStatus
from workflow_events.control import WorkflowCancelledEvent, WorkflowQueryEvent, WorkflowSupersededEvent
from workflow_events.models import Attempt

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
def desk(broker: Broker, tmp_path: Path) -> Iterator[Desk]:
    # A renewal never comes by itself: an owner that stops its run was asked to look.
    with (
        desk_of(broker, tmp_path, concurrency=2, prefetch=0, lease_seconds=600, renew_seconds=300) as desk,
        desk.worker,
    ):
        yield desk


def attempt(task: str, number: int) -> dict[str, object]:
    return {"task": task, "id": str(new_ti_id()), "try_number": number, "max_tries": 3}


@pytest.mark.parametrize("graph", ["gated", "gated_sync"])
def test_a_running_request_is_cancelled(desk, graph):
    gate = desk.gate()
    event = desk.ask(graph, gate.data)
    gate.wait_for("waiting")
    desk.steer(WorkflowCancelledEvent(correlation_id=event, reason="too expensive", requested_by="ann"))
    answer = desk.answer(event)
    assert (answer.status, answer.error_type, answer.retriable) == (ResultStatus.CANCELLED, "cancelled", False)
    assert answer.error == "cancelled by ann: too expensive"
    gate.open()
    desk.logged(f"stopped before its end: ended from outside (graph {graph}, request {str(event)[:8]})")
    assert desk.run("echo", {"task": "the next one"}).status is ResultStatus.SUCCESS
    assert "last" not in gate.ledger
    assert len(desk.messages(event)) == 1


def test_requests_are_cancelled_while_every_slot_is_full(desk):
    gates = [desk.gate() for _ in range(2)]
    running = [desk.ask("gated", gate.data) for gate in gates]
    for gate in gates:
        gate.wait_for("waiting")
    unread = desk.ask("echo")
    desk.cancel(unread)
    desk.cancel(running[0])
    assert desk.answer(running[0]).status is ResultStatus.CANCELLED
    assert desk.answer(unread).status is ResultStatus.CANCELLED
    # In the slot of the one that was cancelled, whose gate is still closed.
    assert desk.run("echo", {"task": "the next one"}).status is ResultStatus.SUCCESS
    gates[1].open()
    assert desk.answer(running[1]).status is ResultStatus.SUCCESS


def test_a_request_is_cancelled_before_it_comes(desk):
    event = uuid4()
    desk.cancel(event)
    gate = desk.gate()
    wait_until("the cancel to be read", lambda: _is_read(desk), timeout=SECONDS)
    assert desk.run("steps", gate.data, event_id=str(event)).status is ResultStatus.CANCELLED
    assert gate.ledger == []


def _is_read(desk: Desk) -> bool:
    """A cancel that is read later than others has been applied."""
    probe = desk.gate()
    event = desk.ask("gated", probe.data)
    probe.wait_for("waiting")
    desk.cancel(event)
    return desk.answer(event).status is ResultStatus.CANCELLED


def test_what_is_cancelled_while_no_worker_runs_never_runs(desk):
    gate = desk.gate()
    running = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    desk.worker.child.kill()
    later = desk.ask("steps", gate.data)
    desk.cancel(running)
    desk.cancel(later)
    with desk.worker:
        assert desk.answer(running).status is ResultStatus.CANCELLED
        assert desk.answer(later).status is ResultStatus.CANCELLED
    assert gate.ledger == ["first", "waiting"]


def test_a_newer_attempt_is_announced_while_every_slot_is_full(desk):
    gates = [desk.gate() for _ in range(3)]
    older, newer = attempt("t", 1), attempt("t", 2)
    first = desk.ask("gated", gates[0].data, attempt=older)
    other = desk.ask("gated", gates[1].data)
    for gate in gates[:2]:
        gate.wait_for("waiting")
    second = desk.ask("gated", gates[2].data, attempt=newer)
    desk.steer(WorkflowSupersededEvent(attempt=Attempt.model_validate(newer)))
    answer = desk.answer(first)
    assert (answer.status, answer.error_type) == (ResultStatus.CANCELLED, "superseded")
    gates[2].wait_for("waiting")
    for gate in gates[1:]:
        gate.open()
    assert desk.answer(second).status is ResultStatus.SUCCESS
    assert desk.answer(other).status is ResultStatus.SUCCESS


def test_stored_results_are_published_again_once_for_each_query(desk):
    done = desk.ask("echo")
    desk.messages(done, 1)
    query = WorkflowQueryEvent(correlation_ids=[done, uuid4()])
    desk.steer(query)
    desk.steer(query)
    first, second = desk.messages(done, 2)
    assert (first.value(), first.headers()) == (second.value(), second.headers())
    desk.steer(WorkflowQueryEvent(correlation_ids=[done]))
    desk.messages(done, 3)
    assert desk.run("echo").status is ResultStatus.SUCCESS
    assert len(desk.kafka.read_all(desk.kafka.fleet.results)) == 4


def test_garbage_on_the_control_topic_is_named_and_skipped(desk):
    gate = desk.gate()
    event = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    desk.kafka.produce(desk.kafka.fleet.control, b'{"event_type": "workflow.triggered"}')
    desk.cancel(event)
    assert desk.answer(event).status is ResultStatus.CANCELLED
    assert "event_type" in desk.logged("ignored on the control topic")
