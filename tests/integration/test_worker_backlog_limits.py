"""What a worker does not take on, so that a night's flood, or a graph that hangs, does not trouble others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.support.ti_ids import new_ti_id
from tests.support.worker import PLAIN, desk_of
from workflow_events import ResultStatus

ECHO = {**PLAIN, "graph": "echo"}

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


def test_a_graph_has_its_own_share_of_slots_and_starves_no_other(broker, tmp_path):
    with desk_of(broker, tmp_path, graph_concurrency=json.dumps({"gated": 1}), prefetch=0) as desk, desk.worker:
        gates = [desk.gate() for _ in range(4)]
        events = [desk.ask("gated", gate.data) for gate in gates]
        assert desk.run("echo", {"task": "beside"}).result["value"] == "beside"
        desk.wait_committed(5)
        assert sum("waiting" in gate.ledger for gate in gates) <= 1
        for gate in gates:
            gate.open()
        assert {desk.answer(event).status for event in events} == {ResultStatus.SUCCESS}


def test_what_a_held_up_graph_may_leave_in_the_store_is_limited(broker, tmp_path):
    limits = {"graph_concurrency": json.dumps({"gated": 1}), "max_waiting": 3, "concurrency": 2, "prefetch": 0}
    with desk_of(broker, tmp_path, **limits) as desk, desk.worker:
        gates = [desk.gate() for _ in range(30)]
        events = [desk.ask("gated", gate.data) for gate in gates]
        line = desk.logged("no events are taken in, of any graph")
        assert "gated: " in line
        assert "LANGGRAPH_WORKER_MAX_WAITING=3" in line
        beside = desk.ask("echo")
        for gate in gates:
            gate.open()
        assert {desk.answer(event).status for event in (*events, beside)} == {ResultStatus.SUCCESS}


def test_a_flood_on_one_thread_does_not_stop_another_deployment(broker, tmp_path):
    """Also one whose first request lies behind it in the same partition."""
    with desk_of(broker, tmp_path, max_waiting=20, concurrency=2, prefetch=0) as desk:
        topic, gate, flood = desk.kafka.fleet.events, desk.gate(), [uuid4() for _ in range(300)]
        busy = {**PLAIN, "graph": "gated", "thread_id": "talk", "payload": {"data": gate.data}}
        for one in flood:
            desk.kafka.produce(topic, json.dumps({**busy, "event_id": str(one)}), partition=0)
        attempt = {"task": "t", "deployment": "other", "id": str(new_ti_id()), "try_number": 1, "max_tries": 0}
        alone = {**ECHO, "event_id": str(uuid4()), "attempt": attempt}
        desk.kafka.produce(topic, json.dumps(alone), partition=0)
        with desk.worker:
            assert desk.answer(UUID(alone["event_id"])).status is ResultStatus.SUCCESS
            refused = desk.answer(flood[-1])
            assert (refused.status, refused.error_type, refused.retriable) == (ResultStatus.ERROR, "overloaded", True)
            assert "of graph gated by plain events" in refused.error
            desk.wait_committed(301)
            gate.open()
            assert desk.answer(flood[0]).status is ResultStatus.SUCCESS
        assert not desk.kafka.read_all(desk.kafka.fleet.dead_letters)


def test_an_answer_is_taken_in_while_its_graph_is_full(broker, tmp_path):
    """Its question holds up all that fills the graph."""
    with desk_of(broker, tmp_path, max_waiting=3, concurrency=2, prefetch=0) as desk, desk.worker:
        topic, waiting = desk.kafka.fleet.events, 400
        asked = desk.run("asks", thread_id="talk")
        for _ in range(waiting):
            desk.kafka.produce(topic, json.dumps({**PLAIN, "graph": "asks", "thread_id": "talk"}), partition=0)
        desk.logged("no events are taken in, of any graph")
        answered = uuid4()
        body = {"event_type": "workflow.resumed", "round": 1, "event_id": str(answered)}
        answers = [{"interrupt_id": asked.interrupts[0].id, "value": "yes", "answered_by": "ann"}]
        desk.kafka.produce(topic, json.dumps({**PLAIN, **body, "answers": answers}), partition=0)
        result = desk.answer(answered)
        assert (result.status, result.result["value"]) == (ResultStatus.SUCCESS, "yes")
        assert desk.committed() < waiting


def test_a_partition_with_a_flood_does_not_keep_the_others_out(broker, tmp_path):
    with desk_of(broker, tmp_path, concurrency=2, prefetch=0) as desk:
        topic, pad = desk.kafka.fleet.events, "x" * 1_000
        flood = [uuid4() for _ in range(600)]
        for event in flood:
            desk.kafka.produce(topic, json.dumps({**ECHO, "event_id": str(event), "pad": pad}), partition=0)
        alone = uuid4()
        desk.kafka.produce(topic, json.dumps({**ECHO, "event_id": str(alone)}), partition=1)
        with desk.worker:
            desk.messages(alone)
            answered = {UUID(message.key().decode()) for message in desk.kafka.read_all(desk.kafka.fleet.results)}
            assert len(answered & set(flood)) < 200


def test_a_node_that_keeps_its_cancellation_to_itself_does_not_outlive_its_deadline(broker, tmp_path):
    with desk_of(broker, tmp_path) as desk, desk.worker:
        gate = desk.gate()
        soon = datetime.now(UTC) + timedelta(seconds=1)
        result = desk.run("stubborn", gate.data, deadline=soon.isoformat())
        assert (result.status, result.error_type) == (ResultStatus.TIMEOUT, "deadline")
        desk.logged("a node suppresses its cancellation")
        assert desk.run("echo").status is ResultStatus.SUCCESS
        gate.open()
