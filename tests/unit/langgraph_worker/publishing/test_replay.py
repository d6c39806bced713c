"""Which request the replay of a letter is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_langgraph.requests.given_handle import handle_in
from langgraph_worker.broker.kafka.end_offsets import TopicEnd
from langgraph_worker.publishing.letters import Letter
from langgraph_worker.publishing.replay import NotReplayableError, prepare
from langgraph_worker.publishing.request_handle import handle_of
from langgraph_worker.settings.load import load_settings
from tests.support.run_store import attempt, event
from workflow_events.codec import Record, decode_event, encode
from workflow_events.identity import lineage_of, replay_id, work_hash
from workflow_events.models import Replay, WorkflowEvent

DEADLINE = datetime(2026, 12, 1, 12, tzinfo=UTC)
PLACE = [
    ("dead-letter-topic", b"events"),
    ("dead-letter-partition", b"2"),
    ("dead-letter-offset", b"7"),
    ("dead-letter-cluster", b"c1"),
]


def letter_of(sent: WorkflowEvent | dict[str, Any] | bytes | None, *headers: tuple[str, bytes], at: int = 0) -> Letter:
    value = sent if isinstance(sent, bytes | None) else b""
    if isinstance(sent, WorkflowEvent):
        encoded = encode(sent)
        value, headers = encoded.value, (*encoded.headers, *headers)
    elif isinstance(sent, dict):
        value = json.dumps(sent).encode()
    return Letter.of(Record("dlq", 0, at, value, [*headers, *PLACE]))


def prepared(letter: Letter, number: int | None = None) -> Any:
    return prepare(letter, DEADLINE, 1_000_000, number)


@pytest.mark.parametrize("of", [None, attempt(2, agent="b")], ids=["plain", "of a task"])
def test_a_replay_is_the_same_request_with_an_id_a_number_and_a_deadline_of_its_own(of):
    sent = event(of, thread_id="talk", deadline=DEADLINE - timedelta(days=1))
    replay = prepared(letter_of(sent))
    again = replay.event
    assert again.event_id == replay_id(sent.event_id, 1) != sent.event_id
    assert again.replay == Replay(of=sent.event_id, number=1)
    assert again.deadline == DEADLINE
    assert again.timestamp > sent.timestamp
    own = {"event_id", "timestamp", "deadline", "replay", "attempt"}
    assert again.model_dump(exclude=own) == sent.model_dump(exclude=own)
    assert again.attempt == (of and of.model_copy(update={"replay": 1}))
    assert (lineage_of(again), work_hash(again)) == (lineage_of(sent), work_hash(sent))
    assert replay.encoded.key == encode(sent).key
    record = Record("events", 0, 0, replay.encoded.value, replay.encoded.headers)
    assert decode_event(record) == again


def test_the_key_of_a_plain_request_s_replay_is_that_of_the_request():
    sent = event()
    first = prepared(letter_of(sent))
    second = prepared(letter_of(first.event))
    assert {one.encoded.key for one in (first, second)} == {str(sent.event_id).encode()}


def test_all_who_replay_a_letter_for_the_nth_time_send_one_request():
    sent = event()
    one, other = (prepared(letter_of(sent, at=at)).event.event_id for at in (0, 9))
    assert one == other
    later = prepared(letter_of(sent), 2)
    of_its_replay = prepared(letter_of(prepared(letter_of(sent)).event))
    assert later.event.event_id == of_its_replay.event.event_id == replay_id(sent.event_id, 2)
    assert (of_its_replay.of, of_its_replay.number) == (sent.event_id, 2)


def test_an_event_without_an_id_has_one_by_its_place_wherever_its_letter_is():
    plain = {"event_type": "workflow.triggered", "source": "airflow", "workflow_id": "d", "workflow_run_id": "r"}
    one, other = (prepared(letter_of(plain, at=at)) for at in (0, 9))
    assert one.event.event_id == other.event.event_id


def test_a_replay_number_that_was_used_is_refused():
    first = prepared(letter_of(event(attempt(1)))).event
    with pytest.raises(NotReplayableError, match="--number 1: the letter is of replay 1 itself"):
        prepared(letter_of(first), 1)


def test_fields_that_are_not_known_and_the_trace_are_kept():
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = event()
    body = json.loads(encode(sent).value) | {"of_a_later_version": {"a": 1}}
    replay = prepared(letter_of(body, ("traceparent", trace.encode())))
    assert json.loads(replay.encoded.value)["of_a_later_version"] == {"a": 1}
    assert ("traceparent", trace.encode()) in replay.encoded.headers


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        (
            letter_of(None, ("dead-letter-error-type", b"undecodable")),
            r"no body.*events\[2\]@7.*\(undecodable\)",
        ),
        (letter_of(None, ("dead-letter-body-omitted-bytes", b"2000000")), r"body of 2,000,000 bytes was too large"),
        (letter_of(b"{"), r"is no request: events\[2\]@7.*not JSON.*with a new event_id"),
        (letter_of({"event_type": "workflow.triggered"}), "is no request: .*field 'source'"),
        (
            letter_of(encode(event()).value[:-1] + b', "of_a_later_version": 1e400}'),
            "cannot be written again: .*not JSON",
        ),
        (
            letter_of(b"{}", ("schema-version", b"9.0")),
            "schema-version is '9.0'.*the version of the worker",
        ),
    ],
    ids=["undecodable", "too large for the topic", "no JSON", "a field is missing", "no double", "a newer schema"],
)
def test_what_cannot_be_replayed_is_refused_with_cause_and_remedy(letter, why):
    with pytest.raises(NotReplayableError, match=f"(?s){why}"):
        prepared(letter)


def test_a_replay_over_the_workers_limit_is_refused():
    sent = event(data={"x": "x" * 1_000})
    with pytest.raises(NotReplayableError, match=r"the event has 1,\d\d\d bytes, over the limit of 1,000. Raise"):
        prepare(letter_of(sent), DEADLINE, 1_000)


def test_a_number_that_contradicts_the_attempt_is_refused():
    with pytest.raises(ValueError, match=r"attempt\.replay is 0; the two must be the same"):
        event(attempt(1), replay=Replay(of=uuid4(), number=1))


def test_the_handle_is_one_that_airflow_s_sensor_takes():
    replay = prepared(letter_of(event(thread_id="talk")))
    place = TopicEnd("risk.workflow-results", {0: 3, 1: 0}, "id1", "c1")
    settings = load_settings({"fleet": "risk"})
    handle = handle_in(json.dumps(handle_of(replay.event, place, settings, "kafka_risk")))
    assert (handle.correlation_id, handle.deadline) == (replay.event.event_id, DEADLINE)
    assert (handle.results_topic, handle.start_offsets) == ("risk.workflow-results", {0: 3, 1: 0})
    assert (handle.cluster, handle.results_topic_id, handle.kafka_config_id) == ("c1", "id1", "kafka_risk")
    topics = (handle.events_topic, handle.control_topic, handle.progress_topic)
    assert topics == ("risk.workflow-events", "risk.workflow-control", "risk.workflow-progress")
    assert (handle.asked_at, handle.thread_id) == (replay.event.timestamp, "talk")
