"""How a worker ends, in order or not, and what is left for the next one: nothing lost, nothing finished run again."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from devtools.broker import Broker, ChildBroker
from devtools.processes import wait_until
from tests.support.worker import PLAIN, SECONDS, Desk, desk_of
from workflow_events import ResultStatus, WorkflowResultEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
def desk(broker: Broker, tmp_path: Path) -> Iterator[Desk]:
    """A worker of the test's own, running."""
    with desk_of(broker, tmp_path) as desk, desk.worker:
        yield desk


@pytest.mark.parametrize("graph", ["gated", "gated_sync"])
def test_sigterm_stops_a_run_between_two_steps_and_it_goes_on_at_the_next_start(desk, graph):
    gate = desk.gate()
    event = desk.ask(graph, gate.data)
    gate.wait_for("waiting")
    desk.worker.child.signal(signal.SIGTERM)
    desk.logged("1 run may finish the step under way, for ")
    gate.open()
    assert desk.worker.child.wait(SECONDS) == 0
    assert gate.ledger == ["first", "waiting", "passed"]
    assert desk.committed() == 1
    desk.worker.launch()
    result = desk.answer(event)
    assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 2)
    assert gate.ledger == ["first", "waiting", "passed", "last"]


@pytest.mark.parametrize("graph", ["waits", "nested"])  # a graph inside of a step is not stopped on its own (rule 19)
def test_sigterm_lets_a_last_step_finish_and_publishes_its_result(desk, graph):
    gate = desk.gate()
    event = desk.ask(graph, gate.data)
    gate.wait_for("waiting")
    desk.worker.child.signal(signal.SIGTERM)
    desk.logged("1 run may finish the step under way, for ")
    gate.open()
    assert desk.worker.child.wait(SECONDS) == 0
    assert desk.answer(event).status is ResultStatus.SUCCESS


@pytest.mark.parametrize("graph", ["gated", "gated_sync", "nested"])
def test_a_run_that_does_not_finish_in_time_goes_on_at_the_next_start(broker, tmp_path, graph):
    with desk_of(broker, tmp_path, drain_seconds=0) as desk, desk.worker:
        gate = desk.gate()
        event = desk.ask(graph, gate.data)
        gate.wait_for("waiting")
        desk.worker.child.signal(signal.SIGTERM)
        desk.logged("stopped before its end: the worker stops; the run continues from its last checkpoint (graph ")
        assert desk.worker.child.wait(SECONDS) == 0
        gate.open()
        desk.worker.launch()
        result = desk.answer(event)
        assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 2)
        assert gate.ledger == ["first", "waiting", "waiting", "passed", "last"]


def test_a_second_signal_ends_the_worker_at_once(desk):
    gate = desk.gate()
    desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    desk.worker.child.signal(signal.SIGTERM)
    desk.logged("1 run may finish the step under way, for ")
    desk.worker.child.signal(signal.SIGTERM)
    assert desk.worker.child.wait(SECONDS) == 128 + signal.SIGTERM


def test_after_a_kill_the_run_goes_on_and_no_finished_node_runs_again(desk):
    gate = desk.gate()
    event = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    desk.worker.child.kill()
    gate.open()
    desk.worker.launch()
    result = desk.answer(event)
    assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 2)
    assert gate.ledger == ["first", "waiting", "waiting", "passed", "last"]


def test_events_sent_while_no_worker_runs_are_not_lost(desk):
    desk.worker.stop()
    events = [desk.ask("echo", {"task": str(number)}) for number in range(20)]
    desk.worker.launch()
    assert [desk.answer(event).result["value"] for event in events] == [str(number) for number in range(20)]


@pytest.mark.timeout(60)
def test_an_offset_is_committed_only_when_the_store_has_the_request(broker, tmp_path):
    with desk_of(broker, tmp_path, log_level="DEBUG") as desk, desk.worker:
        gate = desk.gate()
        with sqlite3.connect(tmp_path / "langgraph-worker.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")  # the store cannot be written
            event = desk.ask("steps", gate.data)
            desk.logged("took 1 records")
            desk.worker.child.kill()
            other.execute("ROLLBACK")
        assert desk.committed() == 0
        desk.worker.launch()
        assert desk.answer(event).status is ResultStatus.SUCCESS
        desk.wait_committed(1)
        assert gate.ledger == ["first", "last"]


def test_a_store_that_comes_back_is_used_again_without_a_restart(desk, tmp_path):
    with sqlite3.connect(tmp_path / "langgraph-worker.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        event = desk.ask("echo")
        desk.logged("trying again")
        other.execute("ROLLBACK")
    assert desk.answer(event).status is ResultStatus.SUCCESS


def test_a_dead_letter_that_cannot_be_written_stops_the_worker(desk):
    if desk.kafka.broker.kind == "embedded":
        pytest.skip("the embedded broker creates a missing topic by itself")
    for future in desk.kafka.admin.delete_topics([desk.kafka.fleet.dead_letters]).values():
        future.result(15)
    desk.send(b"garbage")
    assert desk.worker.child.wait(SECONDS) == 1
    assert "dead letter of" in desk.worker.child.output()
    assert desk.committed() == 0
    desk.kafka.create(desk.kafka.fleet.dead_letters)
    desk.worker.launch()
    desk.wait_committed(1)
    assert len(desk.kafka.read_all(desk.kafka.fleet.dead_letters)) == 1


def test_a_result_waits_for_kafka(broker, tmp_path):
    if not isinstance(broker, ChildBroker) or broker.child is None:
        pytest.skip("this broker cannot be stopped by a test")
    with desk_of(broker, tmp_path, kafka_config={"message.timeout.ms": "1500"}) as desk, desk.worker:
        gate = desk.gate()
        event = desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        with broker.suspended():
            gate.open()
            desk.logged("[finished] finished (graph gated, ")
            desk.logged("(1 result waiting)")
        assert desk.answer(event).status is ResultStatus.SUCCESS


def test_a_result_that_was_stored_but_not_published_is_published_by_the_next_worker(broker, tmp_path):
    if not isinstance(broker, ChildBroker) or broker.child is None:
        pytest.skip("this broker cannot be stopped by a test")
    with desk_of(broker, tmp_path) as desk, desk.worker:
        gate = desk.gate()
        event = desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        with broker.suspended():
            gate.open()
            desk.logged("[finished] finished (graph gated, ")
            desk.worker.child.kill()
        desk.worker.launch()
        result = desk.answer(event)
        assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 1)
        assert gate.ledger == ["first", "waiting", "passed", "last"]


def test_a_result_that_kafka_refuses_holds_back_no_other(broker, tmp_path):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker creates a missing topic by itself")
    gone = f"{uuid4()}-mine"
    with desk_of(broker, tmp_path, allowed_reply_topics=gone) as desk:
        desk.kafka.create(gone)
        with desk.worker:
            for future in desk.kafka.admin.delete_topics([gone]).values():
                future.result(15)
            refused = desk.ask("echo", reply_topic=gone)
            assert desk.run("echo").status is ResultStatus.SUCCESS
            line = desk.logged(f"a result cannot be published: topic {gone}: ")
            assert f"(request {str(refused)[:8]})" in line
            assert "--create-topics" in line
            assert desk.run("echo").status is ResultStatus.SUCCESS


@pytest.mark.parametrize("graph", ["exits", "exits_loop"])
def test_a_graph_that_exits_fails_its_run_and_no_other(desk, graph):
    held = desk.gate()
    other = desk.ask("gated", held.data)
    held.wait_for("waiting")
    result = desk.run(graph)
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.FAILURE, "SystemExit", False)
    held.open()
    assert desk.answer(other).status is ResultStatus.SUCCESS
    assert held.ledger == ["first", "waiting", "passed", "last"]


def test_a_loop_that_stands_still_past_the_lease_doubles_nothing(broker, tmp_path):
    with desk_of(broker, tmp_path, lease_seconds="3", renew_seconds="0.2") as desk, desk.worker:
        held, still = desk.gate(), desk.gate()
        other = desk.ask("gated", held.data)
        held.wait_for("waiting")
        slow = desk.ask("stands_still", {**still.data, "size": 7})
        assert desk.answer(slow).status is ResultStatus.SUCCESS
        held.open()
        assert desk.answer(other).attempts == 1
        assert still.ledger == ["began", "ended"]
        assert held.ledger == ["first", "waiting", "passed", "last"]


@pytest.mark.timeout(60)
def test_an_event_that_kills_its_workers_is_given_up(desk):
    event = desk.ask("dies")
    for _ in range(4):
        assert desk.worker.child.wait(SECONDS) == -signal.SIGKILL
        desk.worker.launch()
    result = desk.answer(event)
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.FAILURE, "worker_lost", False)
    wait_until("the offset", lambda: desk.committed() == 1, timeout=SECONDS)


@pytest.mark.timeout(120)
def test_the_events_of_a_topic_that_was_created_anew_all_run(broker, tmp_path):
    """Their places are those of the topic before, and they name no ids."""
    if broker.kind == "embedded":
        pytest.skip("the embedded broker has no ids of topics")
    with desk_of(broker, tmp_path) as desk, desk.worker:
        events = desk.kafka.fleet.events
        for number in range(12):
            desk.send(json.dumps(PLAIN | {"workflow_run_id": f"old-{number}"}))
        old = answered(desk, "old", 12)
        desk.worker.stop()
        for future in desk.kafka.admin.delete_topics([events]).values():
            future.result(15)
        desk.kafka.create(events)
        desk.worker.launch()
        for number in range(12):
            desk.send(json.dumps(PLAIN | {"workflow_run_id": f"new-{number}"}))
        new = answered(desk, "new", 12)
    assert not old & new


@pytest.mark.timeout(120)
@pytest.mark.parametrize("named", [True, False], ids=["named", "plain"])
def test_no_event_is_passed_in_a_topic_that_is_created_anew_under_a_worker(broker, tmp_path, named):
    """Kafka's client reads on at the old offsets, behind the first events of the new topic."""
    if broker.kind == "embedded":
        pytest.skip("the embedded broker has no ids of topics")
    with desk_of(broker, tmp_path) as desk, desk.worker:
        events = desk.kafka.fleet.events
        put(desk, "old", 3, named)
        answered(desk, "old", 3)
        for future in desk.kafka.admin.delete_topics([events]).values():
            future.result(15)
        desk.kafka.create(events)
        desk.kafka.forget_producer()
        put(desk, "new", 8, named)
        assert desk.worker.child.wait(SECONDS) == 1
        desk.logged(f"topic {events} was deleted and created anew")
        desk.worker.launch()
        answered(desk, "new", 8)


def put(desk, name, count, named):
    """Write events to one partition; the named ones as Airflow's side writes them."""
    for number in range(count):
        own = {"event_id": str(uuid4())} if named else {}
        headers = [("correlation-id", one.encode()) for one in own.values()]
        body = json.dumps(PLAIN | own | {"workflow_run_id": f"{name}-{number}"})
        desk.kafka.produce(desk.kafka.fleet.events, body, headers=headers, partition=0)


def answered(desk, name, count):
    """The correlation ids of the successful results of these runs, once each has one."""

    def found():
        results = [
            WorkflowResultEvent.model_validate_json(message.value())
            for message in desk.kafka.read_all(desk.kafka.fleet.results)
        ]
        mine = [one for one in results if one.workflow_run_id.startswith(f"{name}-")]
        ids = {one.correlation_id for one in mine if one.status is ResultStatus.SUCCESS}
        return ids if len({one.workflow_run_id for one in mine}) == count else None

    return wait_until(f"{count} answers of {name}", found, timeout=30)
