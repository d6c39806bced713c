"""What a worker publishes while its runs run, on a real Kafka."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devtools.processes import wait_until
from tests.support.worker import SECONDS, Desk, desk_of
from workflow_events import ResultStatus
from workflow_events.codec import Record, decode_progress
from workflow_events.control import ProgressKind, WorkflowProgressEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


def published(desk: Desk) -> list[WorkflowProgressEvent]:
    found = desk.kafka.read_all(desk.kafka.fleet.progress)
    records = [Record("progress", one.partition(), one.offset(), one.value(), one.headers()) for one in found]
    return [decode_progress(record) for record in records]


def test_a_run_tells_what_it_does_while_it_does_it(broker, tmp_path):
    with desk_of(broker, tmp_path, worker_id="one") as desk, desk.worker:
        gate = desk.gate()
        event = desk.ask("tells", gate.data)
        gate.wait_for("waiting")
        before = wait_until(
            "its progress", lambda: (found := published(desk)) and len(found) == 5 and found, timeout=SECONDS
        )
        K = ProgressKind
        kinds = [(one.kind, one.node) for one in before]
        assert kinds == [
            (K.ACCEPTED, None),
            (K.NODE_STARTED, "first"),
            (K.CUSTOM, None),
            (K.NODE_FINISHED, "first"),
            (K.NODE_STARTED, "gate"),
        ]
        assert {(one.correlation_id, one.workflow_id, one.worker_id) for one in before} == {
            (event, "example_dag", "one")
        }
        assert before[0].data == {"decision": "fresh"}
        assert before[2].data == {"at": 0}
        assert before[3].data["status"] == "COMPLETED"
        gate.open()
        assert desk.answer(event).status is ResultStatus.SUCCESS
        wait_until("the last node's end", lambda: published(desk)[-1].kind is K.NODE_FINISHED, timeout=SECONDS)


def test_a_talkative_run_tells_a_part_and_is_not_held_up(broker, tmp_path):
    with desk_of(broker, tmp_path, progress_per_second=2) as desk, desk.worker:
        gate = desk.gate()
        gate.open()
        assert desk.run("tells", {**gate.data, "size": 5_000}).status is ResultStatus.SUCCESS
        assert desk.run("echo").status is ResultStatus.SUCCESS
        assert 2 <= len(published(desk)) < 100


def test_without_its_topic_nothing_is_told_and_everything_runs(broker, tmp_path):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker creates a missing topic by itself")
    with desk_of(broker, tmp_path) as desk:
        for future in desk.kafka.admin.delete_topics([desk.kafka.fleet.progress]).values():
            future.result(15)
        with desk.worker:
            desk.logged("no progress is published: there is no topic")
            assert desk.run("echo").status is ResultStatus.SUCCESS


def test_what_a_request_lacks_is_said_when_it_is_taken_and_not_when_it_ends(broker, tmp_path):
    with desk_of(broker, tmp_path, unknown_graph_grace_seconds=600) as desk, desk.worker:
        event = desk.ask("ecko", threadId="talk")
        [accepted] = wait_until("its acceptance", lambda: published(desk), timeout=SECONDS)
        assert (accepted.correlation_id, accepted.kind) == (event, ProgressKind.ACCEPTED)
        graph, field = accepted.data["notes"]
        assert "no worker serves a graph named 'ecko' so far" in graph
        assert "Did you mean 'echo'? The request waits 600 s for one" in graph
        assert field == "field 'threadId' is not known, and has no effect: did you mean 'thread_id'?"
        assert "WARNING" in desk.logged(field)


def test_a_short_deadline_of_a_typo_names_the_typo(broker, tmp_path):
    with desk_of(broker, tmp_path, unknown_graph_grace_seconds=600) as desk, desk.worker:
        deadline = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
        answer = desk.answer(desk.ask("ecko", deadline=deadline))
    assert (answer.status, answer.error_type) == (ResultStatus.TIMEOUT, "deadline")
    assert "no worker of the fleet serves a graph named 'ecko'" in answer.error
    assert "Did you mean 'echo'?" in answer.error
