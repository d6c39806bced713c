"""Records that a fuzz would have to be lucky to write, and a worker that outlives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Message, Producer

from devtools.broker import Broker
from langgraph_worker.kafka.records import to_record
from tests.fuzz import foreign
from tests.support.kafka import QUIET
from tests.support.worker import PLAIN, desk_of
from workflow_events import ResultStatus
from workflow_events.headers import value_of

pytestmark = pytest.mark.integration


@pytest.mark.timeout(120)
@pytest.mark.skipif(foreign.library() is None, reason="librdkafka's own library is not beside the Python package")
def test_a_header_name_that_is_no_text(real_broker: Broker, tmp_path: Path):
    with desk_of(real_broker, tmp_path) as desk:
        headers = [(b"\xff\xfe", b"x"), (b"schema-version", b"1.0")]
        foreign.write(real_broker, desk.kafka.fleet.control, b'{"event_type": "workflow.cancelled"}', headers)
        desk.worker.launch()
        desk.worker.wait_ready()
        foreign.write(real_broker, desk.kafka.fleet.events, json.dumps(PLAIN).encode(), headers)
        foreign.write(real_broker, desk.kafka.fleet.control, b"{}", headers)

        assert desk.run("echo").status is ResultStatus.SUCCESS
        [letter] = desk.kafka.read(desk.kafka.fleet.dead_letters, 1)
        assert "the headers cannot be read" in reason(letter)
        gate = desk.gate()
        of = desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        desk.cancel(of)
        assert desk.answer(of).status is ResultStatus.CANCELLED


def reason(letter: Message) -> str:
    return value_of(to_record(letter, "", "").headers, "dead-letter-reason") or ""


def is_taken(producer: Producer, topic: str, header: str, size: int) -> bool:
    """Write a record with one large header; whether the topic takes it."""
    taken: list[bool] = []
    producer.produce(
        topic, b"{}", headers=[(header, b"h" * size)], on_delivery=lambda error, _: taken.append(error is None)
    )
    producer.flush(16)
    return taken == [True]


def write_largest(broker: Broker, topic: str, header: str) -> int:
    """Write a record whose one header is as large as the topic takes; its size."""
    producer = Producer({**broker.client, **QUIET, "message.max.bytes": 2_000_000, "message.timeout.ms": 15_000})
    return next(size for size in range(1_048_500, 1_047_000, -8) if is_taken(producer, topic, header, size))


@pytest.mark.timeout(120)
def test_headers_that_leave_a_dead_letter_no_room(real_broker: Broker, tmp_path: Path):
    names = ["correlation-id", "dead-letter-reason", "traceparent"]
    with desk_of(real_broker, tmp_path) as desk:
        sizes = [write_largest(real_broker, desk.kafka.fleet.events, name) for name in names]
        assert min(sizes) > 1_048_000
        desk.worker.launch()
        desk.worker.wait_ready()
        letters = desk.kafka.read(desk.kafka.fleet.dead_letters, len(names))
        assert all("the event is 1,048," in reason(letter) for letter in letters)
        assert desk.run("echo").status is ResultStatus.SUCCESS
