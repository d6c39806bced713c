"""What is kept of a message that anybody may have written."""

from __future__ import annotations

from langgraph_worker.broker.kafka.records import MOST_HEADERS, size_of, to_record
from tests.unit.langgraph_worker.broker.test_event_batches import Message
from workflow_events.codec import Record

OURS = [("correlation-id", b"1"), ("event-type", b"t"), ("schema-version", b"1.0"), ("traceparent", b"p")]


def test_headers_are_kept_as_they_came():
    headers = [*OURS, ("x", None), *((f"h{number}", b"v") for number in range(MOST_HEADERS - 6)), ("x", b"2")]
    record = to_record(Message(0, 1, headers), "t", "c")
    assert len(headers) == MOST_HEADERS
    assert record.headers == headers


def test_of_very_many_headers_those_of_the_protocol_are_kept_and_the_last_of_a_name_counts():
    headers = [("correlation-id", b"0"), *((f"h{number}", b"v") for number in range(MOST_HEADERS)), *OURS]
    record = to_record(Message(0, 1, headers), "t", "c")
    assert record.headers == OURS
    assert record.headers_readable


def test_the_size_of_a_record_has_its_headers():
    assert size_of(Record("t", 0, 0, b"x" * 10, [("n" * 1_000, b"v" * 1_000), ("m", None)], b"k" * 5)) > 2_015
    assert size_of(Record("t", 0, 0, b"x" * 10, [("", b"")] * 1_000)) > 100_000
    assert size_of(Record("t", 0, 0, None)) == 0
