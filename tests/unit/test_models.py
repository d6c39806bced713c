from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

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
)


def event(**fields):
    return WorkflowEvent.model_validate(
        {"event_type": "workflow.triggered", "source": "airflow", "workflow_id": "dag", "workflow_run_id": "run"}
        | fields
    )


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
    ("fields", "named"),
    [
        ({"event_type": "workflow.exploded"}, "event_type"),
        ({"source": "cron"}, "source"),
        ({"workflow_id": ""}, "workflow_id"),
        ({"workflow_id": "x" * 513}, "workflow_id"),
        ({"payload": {"data": []}}, "payload"),
        ({"payload": {"data": {"n": float("nan")}}}, "payload"),
        ({"deadline": "tomorrow"}, "deadline"),
        ({"deadline": "9999-12-31T23:59:59-05:00"}, "deadline"),
        ({"timestamp": "0001-01-01T00:00:00+05:00"}, "timestamp"),
        ({"workflow_id": "a\x00b"}, "workflow_id"),
        ({"round": 10**30}, "round"),
        ({"round": -1}, "round"),
        ({"answers": [{"interrupt_id": "i"}]}, "answers"),
        ({"event_type": "workflow.resumed"}, "answers"),
        ({"config": {"recursion_limit": 0}}, "recursion_limit"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(fields, named):
    with pytest.raises(ValidationError, match=named):
        event(**fields)


def test_an_attempt_needs_what_decides_it():
    with pytest.raises(ValidationError, match="try_number"):
        Attempt(task="t", id=uuid4(), max_tries=0)


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
