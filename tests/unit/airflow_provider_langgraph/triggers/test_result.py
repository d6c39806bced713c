from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.triggers.base import TriggerEvent

from airflow_provider_langgraph.requests.deadline import LEAST_WAIT
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.reply import MOST_BYTES, Reply, record_in, reply_of
from airflow_provider_langgraph.requests.topics import topics_of
from airflow_provider_langgraph.triggers import result
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger
from workflow_events.codec import Record, decode_result
from workflow_events.errors import DecodeError

NOW = datetime.now(UTC).isoformat()
HANDLE = RequestHandle(uuid4(), "d", "r", "kafka_default", "e", "r2", "c", {0: 1}, datetime.now(UTC)).to_dict()


def test_it_can_be_built_again_from_what_it_serializes():
    path, arguments = WorkflowResultTrigger(handle=HANDLE, not_before=NOW).serialize()
    assert path == "airflow_provider_langgraph.triggers.result.WorkflowResultTrigger"

    again = WorkflowResultTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_whether_a_kill_cancels_survives_and_does_unless_it_says_not():
    _, arguments = WorkflowResultTrigger(handle=HANDLE, not_before=NOW, cancel_on_kill=False).serialize()
    assert WorkflowResultTrigger(**json.loads(json.dumps(arguments))).cancel_on_kill is False
    assert WorkflowResultTrigger(handle=HANDLE, not_before=NOW).cancel_on_kill is True


def test_an_older_triggerer_understands_the_trigger_of_an_operator():
    assert set(WorkflowResultTrigger(handle=HANDLE, not_before=NOW).serialize()[1]) == {"handle", "not_before"}


@pytest.mark.parametrize(("asked", "cancels"), [(True, 1), (False, 0)])
async def test_a_kill_cancels_once_and_only_where_it_shall(monkeypatch, asked, cancels):
    started = []
    monkeypatch.setattr(
        "airflow_provider_langgraph.waiting.cancel_on_kill.cancel_unless_deferred",
        lambda handle, task_instance, may_be_resumed: started.append(handle.correlation_id),
    )
    trigger = WorkflowResultTrigger(handle=HANDLE, cancel_on_kill=asked)
    await trigger.on_kill()
    await trigger.on_kill()
    assert len(started) == cancels


def test_the_triggerers_log_shows_no_result():
    payload = Reply(kind="result", correlation_id="c1", status="success", result='{"secret": "s3cret"}')
    event = TriggerEvent(payload)

    assert "s3cret" not in repr(event)
    assert "c1" in repr(event)
    assert "success" in repr(event)
    assert "s3cret" in event.model_dump(mode="json")["payload"]["result"]


# As it was before a handle named its control topic: a task may be deferred while its provider is upgraded.
OLDER = {
    "correlation_id": "5b1e5c1c-0a8e-5b1f-9f65-8d6f0f2f4b11",
    "workflow_id": "d",
    "workflow_run_id": "r",
    "kafka_config_id": "kafka_default",
    "events_topic": "e",
    "results_topic": "r2",
    "cluster": "c",
    "start_offsets": {"0": 7, "11": 0},
    "deadline": "2026-08-01T00:00:00+00:00",
}


def test_one_that_an_older_version_serialized_still_loads(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__CONTROL_TOPIC", "steer")
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__PROGRESS_TOPIC", "report")
    trigger = WorkflowResultTrigger(handle=OLDER, not_before=NOW)
    handle = trigger._handle()
    assert handle.start_offsets == {0: 7, 11: 0}
    assert (handle.control_topic, handle.progress_topic) == ("steer", "report")
    assert handle.asked_at is None
    assert trigger.serialize()[1]["handle"] == OLDER


async def test_its_log_names_no_time_that_has_passed(monkeypatch, capsys):
    async def silent(handle, log):
        raise TimeoutError

    async def loaded():
        return SimpleNamespace(wait_for_reply=silent)

    monkeypatch.setattr(result, "_loaded", loaded)
    began = datetime.now(UTC)
    [event] = [event async for event in WorkflowResultTrigger(handle=OLDER, not_before=NOW).run()]
    assert event.payload["kind"] == "silence"
    found = re.search(r"Waiting for the answer, until (\S+ \S+) UTC at the latest", capsys.readouterr().out)
    until = datetime.fromisoformat(f"{found[1]}+00:00")
    assert LEAST_WAIT - timedelta(seconds=1) <= until - began <= LEAST_WAIT + timedelta(seconds=20)


def test_every_field_of_the_handle_comes_through():
    handle = RequestHandle(
        uuid4(),
        "d",
        "r",
        "kafka_x",
        "e",
        "r2",
        "c",
        {0: 1, 5: 2},
        datetime.now(UTC),
        results_topic_id="t",
        control_topic="steer",
        progress_topic="report",
        asked_at=datetime.now(UTC),
        thread_id="talk",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    )
    _, arguments = WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).serialize()
    assert WorkflowResultTrigger(**json.loads(json.dumps(arguments)))._handle() == handle


@pytest.mark.parametrize(
    ("value", "says"),
    [(b"\xff\xfe", "it is not UTF-8"), (b'{"a": "\0"}', "zero byte"), (b"x" * (MOST_BYTES + 1), "passes on")],
)
def test_a_reply_that_cannot_be_passed_on_names_its_record(value, says):
    reply = reply_of(Record("answers", 3, 14, value, []), "c1")
    assert reply["kind"] == "broken"
    assert "answers[3]@14" in reply["error"]
    assert says in reply["error"]


def test_a_header_that_no_database_takes_is_not_passed_on():
    """The database would refuse the event, and the whole triggerer would fail with it, and with all that wait there."""
    reply = reply_of(Record("answers", 3, 14, b"{}", [("schema-version", b"1.0\0")]), "c1")
    assert reply == {"kind": "broken", "error": "the reply at answers[3]@14 cannot be read: it holds a zero byte"}


def test_a_reply_without_a_body_fails_in_the_task():
    event = reply_of(Record("answers", 3, 14, None, []), str(uuid4()))
    with pytest.raises(DecodeError, match=r"answers\[3\]@14"):
        decode_result(record_in(event))


@pytest.mark.parametrize("asked", [True, False])
async def test_ctrl_c_in_a_dags_test_cancels_the_request(monkeypatch, asked):
    class InProcessSupervisorComms:
        """As ``airflow dags test`` has it."""

    cancelled = []

    class Hook:
        def __init__(self, name, *, fleet, timeout):
            self.topics = topics_of(fleet)

        def cancel(self, request, topic, *, reason):
            cancelled.append((request, topic))

    async def wait(handle, log):
        await asyncio.Event().wait()

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", InProcessSupervisorComms(), raising=False)
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", Hook)
    monkeypatch.setattr("airflow_provider_langgraph.waiting.reply_wait.wait_for_reply", wait)
    topics = {"control_topic": "risk.workflow-control", "progress_topic": "p"}
    run = asyncio.ensure_future(anext(WorkflowResultTrigger(handle=HANDLE | topics, cancel_on_kill=asked).run()))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    asked_for = [(RequestHandle.from_dict(HANDLE).correlation_id, "risk.workflow-control")]
    assert cancelled == (asked_for if asked else [])
