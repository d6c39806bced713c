"""What a worker does not take on, so that a night's flood, or a graph that hangs, is nobody else's trouble."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

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
        desk.logged("a node keeps its cancellation to itself")
        assert desk.run("echo").status is ResultStatus.SUCCESS
        gate.open()
