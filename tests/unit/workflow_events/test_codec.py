from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import jsonschema
import pytest

from tests.support.ti_ids import new_ti_id
from workflow_events import (
    Attempt,
    DecodeError,
    EncodeError,
    MessageTooLargeError,
    ResultStatus,
    UnsupportedSchemaError,
    WorkflowCancelledEvent,
    WorkflowEvent,
    WorkflowPausedEvent,
    WorkflowProgressEvent,
    WorkflowQueryEvent,
    WorkflowResultEvent,
    WorkflowSupersededEvent,
    WorkflowUnpausedEvent,
    headers,
)
from workflow_events.__main__ import schemas
from workflow_events.codec import (
    Record,
    decode_control,
    decode_event,
    decode_progress,
    decode_result,
    encode,
)

PLAIN = (
    b'{"event_type":"workflow.triggered","source":"airflow","workflow_id":"example_dag","workflow_run_id":"run_123",'
    b'"payload":{"data":{"task":"process_data"}},"metadata":{"environment":"dev","version":"1.0"}}'
)


def record(value, *, offset=42, names=None, timestamp_ms=1_700_000_000_000):
    return Record("workflow-events", 3, offset, value, names, timestamp_ms=timestamp_ms, cluster="c1")


def received(encoded, topic="t"):
    return Record(topic, 0, 0, encoded.value, encoded.headers, encoded.key)


def result(**fields):
    return WorkflowResultEvent(
        **{"correlation_id": uuid4(), "workflow_id": "w", "workflow_run_id": "r", "status": ResultStatus.SUCCESS}
        | fields
    )


ATTEMPT = Attempt(task="t" * 64, id=new_ti_id(), try_number=2, max_tries=3, run_start=datetime(2026, 1, 1, tzinfo=UTC))


class TestPlainEvent:
    def test_it_is_the_same_request_however_often_it_is_read(self):
        first, again = decode_event(record(PLAIN)), decode_event(record(PLAIN))

        assert first == again
        assert first.payload.data == {"task": "process_data"}
        assert first.timestamp == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)

    @pytest.mark.parametrize("timestamp_ms", [2 * 10**15, -(10**18), 10**13, None])
    def test_a_record_without_a_usable_timestamp_was_written_now(self, timestamp_ms):
        before = datetime.now(UTC)
        assert decode_event(record(PLAIN, timestamp_ms=timestamp_ms)).timestamp >= before

    def test_two_of_them_are_two_requests(self):
        assert decode_event(record(PLAIN)).event_id != decode_event(record(PLAIN, offset=43)).event_id

    def test_the_header_names_it_where_the_body_does_not(self):
        asked = uuid4()
        assert decode_event(record(PLAIN, names=[("correlation-id", str(asked).encode())])).event_id == asked

    def test_it_satisfies_the_published_schema(self):
        jsonschema.validate(json.loads(PLAIN), schemas()["WorkflowEvent"])


class TestRoundTrip:
    def test_a_full_event(self):
        event = WorkflowEvent.model_validate(
            json.loads(PLAIN)
            | {
                "graph": "desk",
                "thread_id": "a conversation",
                "attempt": ATTEMPT,
                "deadline": "2026-11-21T12:00:00Z",
                "config": {"tags": ["a"], "recursion_limit": 12, "model": "m", "configurable": {"user": "u"}},
            }
        )
        encoded = encode(event)

        assert decode_event(received(encoded)) == event
        assert encoded.key == ATTEMPT.task.encode()
        assert headers.value_of(encoded.headers, headers.EVENT_TYPE) == "workflow.triggered"
        jsonschema.validate(json.loads(encoded.value), schemas()["WorkflowEvent"])

    def test_a_result(self):
        answer = result(result={"a": [1, None, "ü"]}, usage={"m": {"input_tokens": 3}})
        encoded = encode(answer)

        assert decode_result(received(encoded)) == answer
        assert encoded.key == str(answer.correlation_id).encode()
        assert headers.correlation_id_of(encoded.headers) == answer.correlation_id
        assert encode(decode_result(received(encoded))).value == encoded.value

    @pytest.mark.parametrize(
        "message",
        [
            WorkflowCancelledEvent(correlation_id=uuid4(), reason="enough"),
            WorkflowSupersededEvent(attempt=ATTEMPT),
            WorkflowQueryEvent(correlation_ids=[uuid4(), uuid4()]),
            WorkflowPausedEvent(scope="graph", name="trade", at_once=True, reason="closed", requested_by="ann"),
            WorkflowUnpausedEvent(scope="fleet"),
        ],
        ids=lambda message: message.event_type.value,
    )
    def test_control_messages(self, message):
        assert decode_control(received(encode(message))) == message

    def test_progress(self):
        message = WorkflowProgressEvent(
            correlation_id=uuid4(), workflow_id="w", workflow_run_id="r", kind="node_started", node="n"
        )
        assert decode_progress(received(encode(message))) == message

    def test_events_without_attempt_are_keyed_by_thread_then_by_id(self):
        plain = decode_event(record(PLAIN))
        assert encode(plain).key == str(plain.event_id).encode()
        assert encode(plain.model_copy(update={"thread_id": "talk"})).key == b"talk"


class TestRefused:
    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (None, "the body is empty"),
            (b"", "the body is empty"),
            (b"\xff\xfe", "not JSON"),
            (b"{", "not JSON"),
            (b'{"a": NaN}', "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b'"text"', "must be a JSON object"),
            (b"{}", "field 'event_type'"),
            (PLAIN.replace(b"workflow.triggered", b"workflow.launched"), "field 'event_type'"),
            (PLAIN.replace(b"workflow.triggered", b"workflow.result"), "does not ask for a run"),
            (PLAIN.replace(b'"example_dag"', b"7"), "field 'workflow_id'"),
            (PLAIN.replace(b'{"task":"process_data"}', b"null"), "field 'payload.data'"),
            (PLAIN.replace(b'{"data":', b'{"command":{"goto":[1]},"data":'), "field 'payload.command.goto"),
            (PLAIN.replace(b'{"data":', b'{"command":{},"data":'), "field 'payload.command': must have an update"),
            (PLAIN.replace(b'{"task":"process_data"}', b'{"a":1},"command":{"goto":"a"}'), "field 'payload': data and"),
            (PLAIN.replace(b"workflow.triggered", b"workflow.resumed"), "field 'answers': workflow.resumed needs"),
            (PLAIN.replace(b"{", b'{"answers":[{"interrupt_id":"i"}],', 1), "field 'answers': only workflow.resumed"),
            (PLAIN.replace(b"{", b'{"answers_to":"%b",' % str(uuid4()).encode(), 1), "field 'answers_to': only"),
            (
                PLAIN.replace(b"{", b'{"context":{"a":1},"config":{"configurable":{"a":1}},', 1),
                "field 'context': config.configurable sets a as well",
            ),
        ],
    )
    def test_it_says_which_field_of_which_record_and_why(self, value, says):
        with pytest.raises(DecodeError) as caught:
            decode_event(record(value))

        assert str(caught.value).startswith("workflow-events[3]@42: ")
        assert says in str(caught.value)

    def test_the_value_itself_is_not_repeated(self):
        with pytest.raises(DecodeError) as caught:
            decode_event(record(PLAIN.replace(b'"airflow"', b'"s3cret-source"')))
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "config", [{"x" * 500_000: 1}, {"configurable": {f"__{number}": 1 for number in range(50_000)}}]
    )
    def test_names_in_the_message_make_no_long_reason(self, config):
        with pytest.raises(DecodeError, match="config") as caught:
            decode_event(record(json.dumps(json.loads(PLAIN) | {"config": config}).encode()))
        assert "more characters" in str(caught.value)
        assert len(str(caught.value)) < 1_500

    def test_names_in_the_message_begin_no_line_of_their_own(self):
        config = {"configurable": {"__\n2026-01-01 ERROR forged\x1b[2J": 1}}
        with pytest.raises(DecodeError, match="forged") as caught:
            decode_event(record(json.dumps(json.loads(PLAIN) | {"config": config}).encode()))
        assert str(caught.value).isprintable()

    def test_whoever_waits_can_still_be_answered(self):
        asked = uuid4()
        with pytest.raises(DecodeError) as caught:
            decode_event(record(b"{", names=[("correlation-id", str(asked).encode())]))
        assert caught.value.correlation_id == asked

    def test_a_header_that_contradicts_the_body(self):
        body = json.dumps(json.loads(PLAIN) | {"event_id": str(uuid4())}).encode()
        with pytest.raises(DecodeError, match="differs from the correlation-id header"):
            decode_event(record(body, names=[("correlation-id", str(uuid4()).encode())]))

    def test_a_result_whose_header_names_another(self):
        answer = encode(result())
        other = [("correlation-id", str(uuid4()).encode())]
        with pytest.raises(DecodeError, match="differs from the correlation-id header"):
            decode_result(Record("t", 0, 0, answer.value, other))

    def test_half_a_character_cannot_be_written(self):
        with pytest.raises(EncodeError, match="has no JSON form"):
            encode(result(error="\ud800"))

    def test_a_newer_major_schema(self):
        with pytest.raises(UnsupportedSchemaError, match="upgrade"):
            decode_event(record(PLAIN, names=[("schema-version", b"2.0")]))

    def test_a_newer_minor_schema_is_read(self):
        assert decode_event(record(PLAIN, names=[("schema-version", b"1.9")]))

    @pytest.mark.parametrize("value", [b"{}", b'{"event_type":"workflow.triggered"}', b'{"event_type":["x"]}'])
    def test_the_control_topic_takes_control_messages_only(self, value):
        with pytest.raises(DecodeError, match="event_type"):
            decode_control(record(value))

    def test_too_large_names_size_and_limit(self):
        with pytest.raises(MessageTooLargeError, match=r"over the limit of 2,000") as caught:
            encode(result(result="x" * 2000), max_bytes=2000)
        assert caught.value.size > 2000
        assert caught.value.limit == 2000


class TestHeaders:
    def test_the_last_of_a_name_counts(self):
        one, two = uuid4(), uuid4()
        named = [("correlation-id", str(one).encode()), ("correlation-id", str(two).encode())]
        assert headers.correlation_id_of(named) == two

    @pytest.mark.parametrize("value", [None, b"", b"\xff", b"not-a-uuid"])
    def test_what_is_no_uuid_names_nothing(self, value):
        assert headers.correlation_id_of([("correlation-id", value)]) is None
        assert headers.correlation_id_of(None) is None

    def test_text_values_are_read_too(self):
        assert headers.correlation_id_of([("correlation-id", "6e1dc6e4-6d5f-5a0f-9a6e-1c2f4f1b7a10")]) == UUID(
            "6e1dc6e4-6d5f-5a0f-9a6e-1c2f4f1b7a10"
        )


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 200 + "e200"])
@pytest.mark.parametrize("place", ['"a":{}', '"a":[[{{"b":{}}}]]', '"Infinity":"-Infinity","a":[{}]'])
def test_a_number_that_json_cannot_hold_is_refused(number, place):
    body = PLAIN.replace(b'"task":"process_data"', place.format(number).encode())
    with pytest.raises(DecodeError, match=r"field 'payload\.data': holds a number that is too large"):
        decode_event(record(body))


@pytest.mark.parametrize(
    "data", [{"Infinity": "Infinity, -Infinity and NaN"}, {"a": [1, 2.5, -0.0, None, True, "x", {"b": {}}]}, {}]
)
def test_an_input_is_what_the_body_holds(data):
    body = json.dumps({**json.loads(PLAIN), "payload": {"data": data, "further": 1}}).encode()
    event = decode_event(record(body))
    assert event.payload.data == data
    assert event == WorkflowEvent.model_validate(event.model_dump())
