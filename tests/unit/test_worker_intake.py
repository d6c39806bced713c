"""What is refused, and how: each refusal has its dead letter, and its answer if somebody is known to wait."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_worker import faults
from langgraph_worker.intake import DEFAULT_DEADLINE, Rejected, Rules, screen
from langgraph_worker.store.port import Request
from workflow_events.codec import Record

PLAIN = {
    "event_type": "workflow.triggered",
    "source": "airflow",
    "workflow_id": "example_dag",
    "workflow_run_id": "run_123",
    "payload": {"data": {"task": "process_data"}},
    "metadata": {"environment": "dev", "version": "1.0"},
}
RULES = Rules(
    graphs={"desk", "echo"},
    default_graph="echo",
    results_topic="results",
    reply_topics={"results", "mine"},
    models={"llama3"},
    max_bytes=10_000,
    worker_id="w1",
)
CORRELATION = UUID("5b0c7a0e-6f0e-4b43-9d2c-6a5d4b7a1f00")


def record(value: Any = None, *, header: Any = None, more: tuple[tuple[str, bytes], ...] = (), **fields: Any) -> Record:
    body = value if isinstance(value, bytes) or (value is None and not fields) else json.dumps(PLAIN | fields).encode()
    headers = [*([] if header is None else [("correlation-id", str(header).encode())]), *more]
    return Record("events", 2, 7, body, headers, timestamp_ms=1_700_000_000_000, cluster="c1")


def refused(found: Request | Rejected, fault: faults.Fault) -> Rejected:
    assert isinstance(found, Rejected)
    assert found.fault is fault
    assert found.fault.dead_letter
    assert "events[2]@7" in found.reason
    return found


def test_the_plain_event_runs_on_the_default_graph_by_tomorrow():
    found = screen(record(workflow_id="example_dag"), RULES)
    assert isinstance(found, Request)
    assert (found.graph, found.reply_topic) == ("echo", "results")
    assert (found.origin.cluster, found.origin.topic, found.origin.partition, found.origin.offset) == (
        "c1",
        "events",
        2,
        7,
    )
    assert found.event.deadline is not None
    left = found.event.deadline - datetime.now(UTC)
    assert DEFAULT_DEADLINE - timedelta(minutes=1) < left <= DEFAULT_DEADLINE


def test_a_deadline_is_brought_forward_to_what_the_worker_allows():
    found = screen(record(deadline="9999-12-31T00:00:00Z"), RULES)
    assert isinstance(found, Request)
    assert timedelta(days=29) < found.event.deadline - datetime.now(UTC) <= timedelta(days=30)


def test_headers_that_cannot_be_read_are_refused_before_their_body_is_believed():
    unreadable = replace(record(event_id=str(CORRELATION)), headers=None, headers_readable=False)
    found = refused(screen(unreadable, RULES), faults.INVALID_EVENT)
    assert "a header's name is not UTF-8" in found.reason


def test_a_graph_that_is_not_known_here_is_not_refused_here():
    found = screen(record(graph="new"), RULES)
    assert isinstance(found, Request)
    assert found.graph == "new"


def test_what_is_allowed_is_taken():
    found = screen(record(config={"model": "llama3"}, reply_topic="mine"), RULES)
    assert isinstance(found, Request)
    assert found.reply_topic == "mine"


def test_an_answer_need_not_name_a_graph():
    rules = Rules(RULES.graphs, None, "results", {"results"}, (), 10_000, "w1")
    fields = {"event_type": "workflow.resumed", "round": 1, "answers": [{"interrupt_id": "i", "value": True}]}
    found = screen(record(**fields), rules)
    assert isinstance(found, Request)
    assert (found.graph, found.event.answers[0].value) == ("", True)


def test_a_replay_is_taken():
    attempt = {"task": "t", "id": str(uuid4()), "try_number": 1, "max_tries": 0, "replay": 1}
    assert isinstance(screen(record(attempt=attempt), RULES), Request)


@pytest.mark.parametrize(
    ("fields", "fault", "reason"),
    [
        ({"config": {"model": "gpt"}}, faults.MODEL_NOT_ALLOWED, "LANGGRAPH_WORKER_ALLOWED_MODELS"),
        ({"reply_topic": "other"}, faults.REPLY_TOPIC_NOT_ALLOWED, "LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS"),
        ({"budget": {"tokens": 5}}, faults.NOT_SUPPORTED, "field 'budget'"),
        ({"round": 2}, faults.NOT_SUPPORTED, "field 'round'"),
    ],
)
def test_what_would_run_otherwise_than_asked_is_refused_and_answered(fields, fault, reason):
    found = refused(screen(record(event_id=str(CORRELATION), **fields), RULES), fault)
    assert reason in found.reason
    assert found.refusal is not None
    result = found.refusal.result
    assert result.correlation_id == CORRELATION
    assert (result.workflow_id, result.workflow_run_id) == ("example_dag", "run_123")
    assert (result.status, result.error_type, result.retriable) == (fault.status, fault.name, False)
    assert result.error == found.reason
    assert found.refusal.reply_topic == "results"


def test_without_a_default_the_event_must_name_a_graph():
    rules = Rules(RULES.graphs, None, "results", {"results"}, (), 10_000, "w1")
    found = refused(screen(record(x=1), rules), faults.NO_GRAPH_NAMED)
    assert "desk, echo" in found.reason
    assert found.refusal is not None


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (record(b"{not json", header=CORRELATION), faults.INVALID_EVENT),
        (record(b"[]", header=CORRELATION), faults.INVALID_EVENT),
        (record(header=CORRELATION), faults.INVALID_EVENT),
        (record(b"[" * 5000, header=CORRELATION), faults.INVALID_EVENT),
        (record(event_type="workflow.unheard", header=CORRELATION), faults.INVALID_EVENT),
        (record(event_type="workflow.completed", header=CORRELATION), faults.INVALID_EVENT),
        (record(payload={"data": 5}, header=CORRELATION), faults.INVALID_EVENT),
        (record(config={"recursion_limt": 5}, header=CORRELATION), faults.INVALID_EVENT),
        (record(b"x" * 10_001, header=CORRELATION), faults.EVENT_TOO_LARGE),
        (record(x=1, header=CORRELATION, more=(("schema-version", b"9.0"),)), faults.UNSUPPORTED_SCHEMA),
    ],
)
def test_what_cannot_be_read_is_answered_by_its_header(bad, fault):
    found = refused(screen(bad, RULES), fault)
    assert found.refusal is not None
    assert found.refusal.result.correlation_id == CORRELATION


@given(
    body=st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from([*PLAIN, "event_id", "attempt", "config", "deadline", "graph"]),
        st.none() | st.integers() | st.text() | st.sampled_from(list(PLAIN.values())),
    ).map(lambda body: json.dumps(body).encode()),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["correlation-id", "event-type", "schema-version"]),
            st.none() | st.binary(max_size=40) | st.just(str(CORRELATION).encode()),
        ),
        max_size=3,
    ),
    timestamp_ms=st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_no_record_stops_the_intake(body, headers, timestamp_ms):
    found = screen(Record("events", 2, 7, body, headers, timestamp_ms=timestamp_ms, cluster="c1"), RULES)
    if isinstance(found, Rejected):
        assert "events[2]@7" in found.reason
        assert "reading the event failed" not in found.reason  # what nobody foresaw


@pytest.mark.parametrize("name", ["a\x00b", "", "x" * 513, 7])
def test_a_name_that_cannot_be_kept_is_unknown(name):
    found = refused(screen(record(workflow_run_id=name, header=CORRELATION), RULES), faults.INVALID_EVENT)
    assert found.refusal is not None
    assert (found.refusal.result.workflow_id, found.refusal.result.workflow_run_id) == ("example_dag", "unknown")


def test_an_unreadable_record_that_names_nobody_is_only_dead_lettered():
    assert refused(screen(record(b"garbage"), RULES), faults.INVALID_EVENT).refusal is None
    assert refused(screen(record(b"garbage", header="no-uuid"), RULES), faults.INVALID_EVENT).refusal is None


def test_a_wrong_event_still_tells_its_workflow():
    found = refused(screen(record(payload=3, header=CORRELATION), RULES), faults.INVALID_EVENT)
    assert found.refusal is not None
    assert found.refusal.result.workflow_id == "example_dag"
    found = refused(screen(record(b"garbage", header=CORRELATION), RULES), faults.INVALID_EVENT)
    assert found.refusal is not None
    assert found.refusal.result.workflow_id == "unknown"
