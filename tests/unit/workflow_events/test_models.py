from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from tests.support.ti_ids import new_ti_id
from workflow_events import (
    Answer,
    Attempt,
    EventSource,
    EventType,
    Fleet,
    RunConfig,
    WorkflowCancelledEvent,
    WorkflowEvent,
    WorkflowEventMetadata,
    WorkflowEventPayload,
    WorkflowProgressEvent,
    WorkflowQueryEvent,
    WorkflowResultEvent,
    WorkflowSupersededEvent,
)
from workflow_events.codec import Record, decode_event


def _answer(value):
    return {"interrupt_id": "q", "value": value}


def event(**fields):
    return WorkflowEvent.model_validate(
        {"event_type": "workflow.triggered", "source": "airflow", "workflow_id": "dag", "workflow_run_id": "run"}
        | fields
    )


def record_of(asked):
    return Record("workflow-events", 0, 0, asked.model_dump_json().encode(), None)


def test_the_documents_way_of_building_an_event_works():
    built = WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="test_workflow",
        workflow_run_id="run_123",
        payload=WorkflowEventPayload(data={"task": "process_data"}),
        metadata=WorkflowEventMetadata(environment="dev", version="1.0"),
    )

    assert isinstance(built.event_id, UUID)
    assert built.timestamp.tzinfo is UTC
    assert built.payload.data == {"task": "process_data"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-01T12:00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        (datetime(2026, 3, 1, 12), datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=-5))), datetime(2026, 3, 1, 17, tzinfo=UTC)),
    ],
)
def test_every_instant_is_utc(written, meant):
    assert event(timestamp=written).timestamp == meant
    assert event(timestamp=written).timestamp.utcoffset() == timedelta(0)


_REPLY = {"correlation_id": str(UUID(int=1)), "workflow_id": "w", "workflow_run_id": "r", "status": "success"}
_TRIED = {"task": "t", "id": "0190b1e0-0000-7000-8000-000000000001", "try_number": 1, "max_tries": 0}


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        (Attempt, _TRIED, "run_start"),
        (WorkflowCancelledEvent, {"correlation_id": str(UUID(int=1))}, "timestamp"),
        (WorkflowSupersededEvent, {"attempt": _TRIED}, "timestamp"),
        (WorkflowQueryEvent, {"correlation_ids": [str(UUID(int=1))]}, "timestamp"),
        (WorkflowProgressEvent, _REPLY | {"kind": "accepted"}, "timestamp"),
        (WorkflowResultEvent, _REPLY, "started_at"),
        (WorkflowResultEvent, _REPLY, "finished_at"),
    ],
)
def test_an_instant_lies_where_every_database_and_time_zone_has_it(model, fields, named, instant):
    assert model.model_validate(fields | {named: "1970-01-01T00:00:00Z"})
    assert model.model_validate(fields | {named: "2200-01-01T00:00:00Z"})
    with pytest.raises(ValidationError, match=rf"(?s){named}.*between 1970-01-01 and 2200-01-01"):
        model.model_validate(fields | {named: instant})


def test_fields_of_a_newer_peer_are_ignored():
    assert not hasattr(event(colour="green"), "colour")


def test_a_misspelt_run_setting_is_refused():
    with pytest.raises(ValidationError, match="recursion_limt"):
        event(config={"recursion_limt": 3})


@pytest.mark.parametrize("name", ["thread_id", "checkpoint_id", "checkpoint_ns", "__pregel_send", "run_id", "model"])
def test_an_event_cannot_steer_checkpoints(name):
    with pytest.raises(ValidationError, match=name):
        RunConfig(configurable={name: "x"})


@pytest.mark.parametrize(
    "name", ["langgraph_auth_user", "langgraph_request_id", "assistant_id", "graph_id", "thread_ts"]
)
def test_an_event_cannot_set_what_langgraphs_server_vouches_for(name):
    with pytest.raises(ValidationError, match=f"{name}: LangGraph's own"):
        RunConfig(configurable={name: "x"})


@pytest.mark.parametrize(
    "tag", ["langsmith:hidden", "langsmith:nostream", "langgraph:x", "nostream", "graph:step:1", "seq:step:1"]
)
def test_an_event_cannot_set_a_tag_that_langgraph_obeys(tag):
    with pytest.raises(ValidationError, match=f"{tag}: LangGraph obeys this tag"):
        RunConfig(tags=["fine", tag])


def test_other_names_and_tags_are_the_authors():
    asked = RunConfig(tags=["nostreams", "desk"], configurable={"user_id": 1, "checkpoint_every": 2, "thread_ids": []})
    assert len(asked.tags) + len(asked.configurable) == 5


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"event_type": "workflow.exploded"}, "event_type"),
        ({"source": "cron"}, "source"),
        ({"workflow_id": ""}, "workflow_id"),
        ({"workflow_id": "x" * 513}, "workflow_id"),
        ({"payload": {"data": None}}, r"(?s)payload.data.*leave it out"),
        ({"payload": {"data": {"a": 1}, "command": {"goto": "a"}}}, r"(?s)payload.*an input is one of them"),
        ({"payload": {"command": {}}}, r"(?s)payload.command.*an update, or a goto"),
        ({"payload": {"command": {"update": {}}}}, r"(?s)payload.command.*an update, or a goto"),
        ({"payload": {"command": {"update": [], "goto": []}}}, r"(?s)payload.command.*an update, or a goto"),
        ({"payload": {"command": {"goto": ""}}}, r"(?s)payload.command.goto\n.*must be a node's name"),
        ({"payload": {"command": {"goto": ["a", {"nod": "b"}]}}}, r"(?s)payload.command.goto\n.*must be a node's name"),
        ({"config": {"interrupt_before": "a"}}, r"(?s)config.interrupt_before\n.*must be a list of up to 1,024"),
        ({"config": {"interrupt_after": ["a", ""]}}, r"(?s)config.interrupt_after\n.*must be a list of up to 1,024"),
        (
            {"event_type": "workflow.resumed", "round": 1, "answers": [_answer("yes"), _answer("no")]},
            "answers: interrupt 'q' has two that differ",
        ),
        ({"payload": {"command": {"goto": "a", "resume": 1}}}, r"(?s)payload.command.*workflow\.resumed"),
        ({"payload": {"command": {"goto": "a", "graph": "__parent__"}}}, r"payload\.command\.graph"),
        ({"context": {"thread_id": "t"}}, r"(?s)context.*thread_id: LangGraph's own"),
        ({"context": {"a": "x" * 70_000}}, r"(?s)context.*over the limit of 65,536"),
        ({"context": []}, "context"),
        ({"context": {"a": 1}, "config": {"configurable": {"a": 1}}}, "context: config.configurable sets a as well"),
        ({"context": {"model": "m"}, "config": {"model": "m"}}, "context: config.model sets model as well"),
        ({"config": {"max_concurrency": 0}}, "max_concurrency"),
        ({"config": {"interrupt_before": "all"}}, "interrupt_before"),
        ({"payload": {"data": {"n": float("nan")}}}, "payload"),
        ({"deadline": "tomorrow"}, "deadline"),
        ({"deadline": "9999-12-31T23:59:59-05:00"}, "deadline"),
        ({"deadline": "0001-01-01T00:00:00Z"}, "deadline"),
        ({"deadline": "2200-01-01T00:00:01Z"}, "deadline"),
        ({"timestamp": "0001-01-01T00:00:00+05:00"}, "timestamp"),
        ({"workflow_id": "a\x00b"}, "workflow_id"),
        ({"round": 10**30}, "round"),
        ({"round": -1}, "round"),
        ({"answers": [{"interrupt_id": "i"}]}, "answers"),
        ({"answers_to": "0b1f6a52-6f0c-4f27-9a55-5f0f9f1d2c11"}, "answers_to"),
        ({"event_type": "workflow.resumed"}, "answers"),
        ({"config": {"recursion_limit": 0}}, "recursion_limit"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(fields, named):
    with pytest.raises(ValidationError, match=named):
        event(**fields)


@pytest.mark.parametrize("data", ["cats", [{"role": "user", "content": "hi"}], 0, False, "", [], {}])
def test_an_input_is_any_json_but_null(data):
    assert event(payload={"data": data}).payload.data == data
    assert decode_event(record_of(event(payload={"data": data}))).payload.data == data


def test_a_context_and_a_choice_of_assistant_cross_the_wire():
    asked = event(assistant="night", context={"user": "ann"}, config={"interrupt_before": "*", "max_concurrency": 2})
    assert decode_event(record_of(asked)) == asked
    assert (event().context, event().assistant) == (None, None)


@pytest.mark.parametrize("name", ["task", "deployment", "agent"])
def test_no_name_of_an_attempt_holds_what_no_database_stores(name):
    with pytest.raises(ValidationError, match=rf"attempt\.{name}"):
        event(attempt={**_TRIED, name: "a\x00b"})


def test_an_attempt_needs_what_decides_it():
    with pytest.raises(ValidationError, match="try_number"):
        Attempt(task="t", id=new_ti_id(), max_tries=0)


@pytest.mark.parametrize("value", [uuid4(), UUID(int=2**128 - 1), UUID(int=0)])
def test_an_attempt_has_the_id_that_airflow_gave_it(value):
    with pytest.raises(ValidationError, match=r"(?s)id\n.*no uuid7. Take Airflow's ti.id"):
        Attempt(task="t", id=value, try_number=1, max_tries=0)


def test_what_every_checkpoint_repeats_is_not_large():
    assert RunConfig(configurable={"text": "x" * 65_000}).configurable
    with pytest.raises(ValidationError, match=r"70,01\d bytes, over the limit of 65,536"):
        RunConfig(configurable={"text": "x" * 70_000})


def test_no_database_meets_a_nul_in_what_people_wrote():
    cancel = WorkflowCancelledEvent(correlation_id=uuid4(), reason="a\0b", requested_by="\0")
    answer = Answer(interrupt_id="q", answered_by="ann\0")

    assert (cancel.reason, cancel.requested_by, answer.answered_by) == ("a\ufffdb", "\ufffd", "ann\ufffd")


def test_what_people_wrote_may_be_absent_and_not_endless():
    assert WorkflowCancelledEvent(correlation_id=uuid4(), requested_by=None).requested_by is None
    assert Answer(interrupt_id="q", answered_by=None).answered_by is None
    with pytest.raises(ValidationError, match="at most 512"):
        Answer(interrupt_id="q", answered_by="x" * 513)
    with pytest.raises(ValidationError, match="at most 2048"):
        WorkflowCancelledEvent(correlation_id=uuid4(), reason="x" * 2_049)


def test_one_topic_cannot_serve_two_purposes():
    with pytest.raises(ValueError, match="workflow-results"):
        Fleet(events="workflow-results")


def test_schemas_are_printed(capsys):
    from workflow_events.__main__ import main

    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["WorkflowEvent"]["required"] == ["event_type", "source", "workflow_id", "workflow_run_id"]
    assert {"WorkflowResultEvent", "WorkflowCancelledEvent", "WorkflowQueryEvent"} <= set(printed)
