"""What is refused, and how: each refusal has its dead letter, and its answer if a waiter is known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_worker.domain import faults
from langgraph_worker.domain.models import Request
from langgraph_worker.intake.screening import DEFAULT_DEADLINE, Rejected, ScreeningRules, screen
from tests.support.ti_ids import new_ti_id, ti_id
from workflow_events.codec import Record

PLAIN = {
    "event_type": "workflow.triggered",
    "source": "airflow",
    "workflow_id": "example_dag",
    "workflow_run_id": "run_123",
    "payload": {"data": {"task": "process_data"}},
    "metadata": {"environment": "dev", "version": "1.0"},
}
RULES = ScreeningRules(
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


def refused(judged: Request | Rejected, fault: faults.Fault) -> Rejected:
    assert isinstance(judged, Rejected)
    assert judged.fault is fault
    assert judged.fault.dead_letter
    assert "events[2]@7" in judged.reason
    return judged


def test_the_plain_event_runs_on_the_default_graph_by_tomorrow():
    judged = screen(record(workflow_id="example_dag"), RULES)
    assert isinstance(judged, Request)
    assert (judged.graph, judged.reply_topic) == ("echo", "results")
    assert (judged.origin.cluster, judged.origin.topic, judged.origin.partition, judged.origin.offset) == (
        "c1",
        "events",
        2,
        7,
    )
    assert judged.event.deadline is not None
    left = judged.event.deadline - datetime.now(UTC)
    assert DEFAULT_DEADLINE - timedelta(minutes=1) < left <= DEFAULT_DEADLINE


def test_a_deadline_is_brought_forward_to_what_the_worker_allows():
    judged = screen(record(deadline="2199-12-31T00:00:00Z"), RULES)
    assert isinstance(judged, Request)
    assert timedelta(days=29) < judged.event.deadline - datetime.now(UTC) <= timedelta(days=30)


def test_headers_that_cannot_be_read_are_refused_before_their_body_is_believed():
    unreadable = replace(record(event_id=str(CORRELATION)), headers=None, headers_readable=False)
    judged = refused(screen(unreadable, RULES), faults.INVALID_EVENT)
    assert "a header's name is not UTF-8" in judged.reason


def test_a_graph_that_is_not_known_here_is_not_refused_here():
    judged = screen(record(graph="new"), RULES)
    assert isinstance(judged, Request)
    assert judged.graph == "new"


def test_what_is_allowed_is_taken():
    judged = screen(record(config={"model": "llama3"}, reply_topic="mine"), RULES)
    assert isinstance(judged, Request)
    assert judged.reply_topic == "mine"


def test_an_answer_need_not_name_a_graph():
    rules = ScreeningRules(RULES.graphs, None, "results", {"results"}, (), 10_000, "w1")
    fields = {"event_type": "workflow.resumed", "round": 1, "answers": [{"interrupt_id": "i", "value": True}]}
    judged = screen(record(**fields), rules)
    assert isinstance(judged, Request)
    assert (judged.graph, judged.event.answers[0].value) == ("", True)


def test_a_replay_is_taken():
    attempt = {"task": "t", "id": str(new_ti_id()), "try_number": 1, "max_tries": 0, "replay": 1}
    assert isinstance(screen(record(attempt=attempt), RULES), Request)


@pytest.mark.parametrize(("ahead", "taken"), [(-(10**9), True), (240, True), (360, False), (10**11, False)])
def test_an_attempt_of_the_future_would_be_newer_than_all_to_come(ahead, taken):
    drawn = ti_id(round((datetime.now(UTC).timestamp() + ahead) * 1000) % 2**48)
    attempt = {"task": "t", "id": str(drawn), "try_number": 1, "max_tries": 0}
    judged = screen(record(event_id=str(CORRELATION), attempt=attempt), RULES)
    if taken:
        assert isinstance(judged, Request)
    else:
        assert "field 'attempt.id': its time lies" in refused(judged, faults.INVALID_EVENT).reason
        assert judged.refusal.result.correlation_id == CORRELATION


@pytest.mark.parametrize(
    ("fields", "fault", "reason"),
    [
        ({"config": {"model": "gpt"}}, faults.MODEL_NOT_ALLOWED, "LANGGRAPH_WORKER_ALLOWED_MODELS"),
        ({"reply_topic": "other"}, faults.REPLY_TOPIC_NOT_ALLOWED, "LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS"),
        ({"round": 2}, faults.NOT_SUPPORTED, "field 'round'"),
    ],
)
def test_what_would_run_otherwise_than_asked_is_refused_and_answered(fields, fault, reason):
    judged = refused(screen(record(event_id=str(CORRELATION), **fields), RULES), fault)
    assert reason in judged.reason
    assert judged.refusal is not None
    result = judged.refusal.result
    assert result.correlation_id == CORRELATION
    assert (result.workflow_id, result.workflow_run_id) == ("example_dag", "run_123")
    assert (result.status, result.error_type, result.retriable) == (fault.status, fault.name, False)
    assert result.error == judged.reason
    assert judged.refusal.reply_topic == "results"


@pytest.mark.parametrize(
    ("models", "says"),
    [({"llama3"}, "(allowed: llama3). Choose one of them, or add"), (set(), "(allowed: none). Leave it out, or add")],
)
def test_the_remedy_for_a_model_fits_the_list_of_allowed_models(models, says):
    judged = screen(record(event_id=str(CORRELATION), config={"model": "gpt"}), replace(RULES, models=models))
    assert says in refused(judged, faults.MODEL_NOT_ALLOWED).reason


def test_without_a_default_the_event_must_name_a_graph():
    rules = ScreeningRules(RULES.graphs, None, "results", {"results"}, (), 10_000, "w1")
    judged = refused(screen(record(x=1), rules), faults.NO_GRAPH_NAMED)
    assert "desk, echo" in judged.reason
    assert judged.refusal is not None


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (record(b"{not json", header=CORRELATION), faults.INVALID_EVENT),
        (record(b"[]", header=CORRELATION), faults.INVALID_EVENT),
        (record(header=CORRELATION), faults.INVALID_EVENT),
        (record(b"[" * 5000, header=CORRELATION), faults.INVALID_EVENT),
        (record(event_type="workflow.unheard", header=CORRELATION), faults.INVALID_EVENT),
        (record(event_type="workflow.completed", header=CORRELATION), faults.INVALID_EVENT),
        (record(payload={"data": None}, header=CORRELATION), faults.INVALID_EVENT),
        (record(config={"recursion_limt": 5}, header=CORRELATION), faults.INVALID_EVENT),
        (record(b"x" * 10_001, header=CORRELATION), faults.EVENT_TOO_LARGE),
        (record(x=1, header=CORRELATION, more=(("schema-version", b"9.0"),)), faults.UNSUPPORTED_SCHEMA),
    ],
)
def test_what_cannot_be_read_is_answered_by_its_header(bad, fault):
    judged = refused(screen(bad, RULES), fault)
    assert judged.refusal is not None
    assert judged.refusal.result.correlation_id == CORRELATION


# Any characters, halves of them too. Not `st.text()`: a process's first one spends seconds on Unicode's tables.
texts = st.binary(max_size=40).map(lambda units: units[len(units) % 2 :].decode("utf-16-le", "surrogatepass"))


@given(
    body=st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from([*PLAIN, "event_id", "attempt", "config", "deadline", "graph"]),
        st.none() | st.integers() | texts | st.sampled_from(list(PLAIN.values())),
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
    judged = screen(Record("events", 2, 7, body, headers, timestamp_ms=timestamp_ms, cluster="c1"), RULES)
    if isinstance(judged, Rejected):
        assert "events[2]@7" in judged.reason
        assert "reading the event failed" not in judged.reason  # an unforeseen error


@pytest.mark.parametrize("name", ["a\x00b", "", "x" * 513, 7])
def test_a_name_that_cannot_be_kept_is_unknown(name):
    judged = refused(screen(record(workflow_run_id=name, header=CORRELATION), RULES), faults.INVALID_EVENT)
    assert judged.refusal is not None
    assert (judged.refusal.result.workflow_id, judged.refusal.result.workflow_run_id) == ("example_dag", "unknown")


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (record(event_id=str(CORRELATION), deadline="tomorrow"), faults.INVALID_EVENT),
        (record(event_id=str(CORRELATION), workflow_id="x" * 513), faults.INVALID_EVENT),
        (record(event_id=str(CORRELATION), payload=[]), faults.INVALID_EVENT),
        (record(event_id=str(CORRELATION), round="many", header="no-uuid"), faults.INVALID_EVENT),
        (
            record(b'{"event_id": "%s", "payload": {"data": {"x": NaN}}}' % str(CORRELATION).encode()),
            faults.INVALID_EVENT,
        ),
        (
            record(b'{"event_id": "%s", "text": "%s"}' % (str(CORRELATION).encode(), b"\xc3\xa4" * 90_000)),
            faults.EVENT_TOO_LARGE,
        ),
    ],
)
def test_a_body_that_cannot_run_is_answered_by_its_own_id(bad, fault):
    judged = refused(screen(bad, RULES), fault)
    assert judged.refusal is not None
    assert judged.refusal.result.correlation_id == CORRELATION
    assert judged.refusal.result.status.value == "error"


def test_the_answer_goes_where_its_waiter_reads_if_that_is_allowed():
    topics = [
        screen(record(event_id=str(CORRELATION), deadline="tomorrow", reply_topic=topic), RULES).refusal.reply_topic
        for topic in ("mine", "foreign", 7)
    ]
    assert topics == ["mine", "results", "results"]


@pytest.mark.parametrize("event_id", ["no uuid", 7, ["5b0c7a0e-6f0e-4b43-9d2c-6a5d4b7a1f00"], None, "x" * 5_000])
def test_an_id_that_is_none_is_not_answered(event_id):
    assert refused(screen(record(event_id=event_id, deadline="tomorrow"), RULES), faults.INVALID_EVENT).refusal is None


def test_an_id_deep_in_an_input_is_not_this_events_id():
    bad = record(payload={"data": {"event_id": str(CORRELATION)}}, deadline="tomorrow")
    assert refused(screen(bad, RULES), faults.INVALID_EVENT).refusal is None
    large = b'{"payload": {"data": {"event_id": "%s", "text": "%s"}}}' % (str(CORRELATION).encode(), b"x" * 90_000)
    assert refused(screen(record(large), RULES), faults.EVENT_TOO_LARGE).refusal is None


def test_a_header_goes_before_the_body():
    other = UUID("5b0c7a0e-6f0e-4b43-9d2c-6a5d4b7a1f01")
    judged = refused(
        screen(record(event_id=str(other), deadline="tomorrow", header=CORRELATION), RULES), faults.INVALID_EVENT
    )
    assert judged.refusal.result.correlation_id == CORRELATION


def test_a_body_behind_unreadable_headers_or_of_a_newer_schema_is_not_believed():
    unreadable = replace(record(event_id=str(CORRELATION)), headers=None, headers_readable=False)
    assert screen(unreadable, RULES).refusal is None
    newer = record(event_id=str(CORRELATION), more=(("schema-version", b"9.0"),))
    assert refused(screen(newer, RULES), faults.UNSUPPORTED_SCHEMA).refusal is None


def test_an_unreadable_record_without_a_correlation_id_is_only_dead_lettered():
    assert refused(screen(record(b"garbage"), RULES), faults.INVALID_EVENT).refusal is None
    assert refused(screen(record(b"garbage", header="no-uuid"), RULES), faults.INVALID_EVENT).refusal is None


def test_a_wrong_event_still_tells_its_workflow():
    judged = refused(screen(record(payload=3, header=CORRELATION), RULES), faults.INVALID_EVENT)
    assert judged.refusal is not None
    assert judged.refusal.result.workflow_id == "example_dag"
    judged = refused(screen(record(b"garbage", header=CORRELATION), RULES), faults.INVALID_EVENT)
    assert judged.refusal is not None
    assert judged.refusal.result.workflow_id == "unknown"


@pytest.mark.parametrize(
    ("header", "kept"),
    [(f"00-{'a' * 32}-{'b' * 16}-01", True), (f"00-{'0' * 32}-{'b' * 16}-01", False), ("anything", False)],
)
def test_a_trace_context_is_kept_if_it_is_one_and_never_refused(header, kept):
    judged = screen(record(workflow_id="dag", more=(("traceparent", header.encode()),)), RULES)
    assert isinstance(judged, Request)
    assert judged.traceparent == (header if kept else None)
