"""Records that a fuzz would have to be lucky to write, and a worker that outlives them."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import Message, Producer

from airflow_provider_langgraph.kafka.topic_reader import addressed
from devtools.broker import Broker
from devtools.postgres import PostgresServer
from langgraph_worker.broker.kafka.records import to_record
from tests.fuzz import raw_producer
from tests.support.hostile_defaults import set_defaults
from tests.support.kafka import QUIET, KafkaTopics
from tests.support.ti_ids import ti_id
from tests.support.worker import PLAIN, desk_of
from workflow_events import ResultStatus
from workflow_events.headers import value_of

pytestmark = pytest.mark.integration


@pytest.mark.timeout(120)
@pytest.mark.skipif(raw_producer.library() is None, reason="librdkafka's own library is not beside the Python package")
def test_a_header_name_that_is_no_text(real_broker: Broker, tmp_path: Path):
    with desk_of(real_broker, tmp_path) as desk:
        headers = [(b"\xff\xfe", b"x"), (b"schema-version", b"1.0")]
        raw_producer.write(real_broker, desk.kafka.fleet.control, b'{"event_type": "workflow.cancelled"}', headers)
        desk.worker.launch()
        desk.worker.wait_ready()
        raw_producer.write(real_broker, desk.kafka.fleet.events, json.dumps(PLAIN).encode(), headers)
        raw_producer.write(real_broker, desk.kafka.fleet.control, b"{}", headers)

        assert desk.run("echo").status is ResultStatus.SUCCESS
        [letter] = desk.kafka.read(desk.kafka.fleet.dead_letters, 1)
        assert "the headers cannot be read" in reason(letter)
        gate = desk.gate()
        of = desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        desk.cancel(of)
        assert desk.answer(of).status is ResultStatus.CANCELLED


@pytest.mark.timeout(60)
@pytest.mark.skipif(raw_producer.library() is None, reason="librdkafka's own library is not beside the Python package")
def test_a_header_name_that_is_no_text_after_many_that_are(real_broker: Broker, kafka: KafkaTopics):
    """The client returns and leaves an exception set: an interpreter that has run the call often does not look."""
    topic, bad = f"{kafka.prefix}-any", 100
    kafka.create(topic, partitions=1)
    producer = Producer({**kafka.client, **QUIET})
    for _ in range(bad):
        producer.produce(topic, b"{}", headers=[("correlation-id", b"x")])
    assert producer.flush(15) == 0
    raw_producer.write(real_broker, topic, b"{}", [(b"\xff\xfe", b"x")])
    messages = kafka.read(topic, bad + 1)
    records = [to_record(message, "", "") for message in messages]
    assert [record.headers_readable for record in records] == [True] * bad + [False]
    messages = kafka.read(topic, bad + 1)
    assert [addressed(message) is None for message in messages] == [False] * bad + [True]


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


@pytest.mark.timeout(120)
def test_instants_that_no_time_zone_has(real_broker: Broker, postgres_server: PostgresServer, tmp_path: Path):
    """One culprit in a batch is dead-lettered alone, also where the database's own zone is far from UTC."""
    url = postgres_server.create_database("instants")
    set_defaults(url)
    attempt = {"task": "t", "id": str(ti_id(1_700_000_000_000)), "try_number": 1, "max_tries": 0}
    bad = [{"deadline": "0001-01-01T00:00:00Z"}, {"attempt": attempt | {"run_start": "9999-12-31T23:59:59Z"}}]
    with desk_of(real_broker, tmp_path, store_url=url) as desk:
        asked = [UUID(int=number) for number in range(6)]
        for one, fields in zip(asked, ({}, bad[0], {}, bad[1], bad[1], {}), strict=True):
            desk.send(json.dumps(PLAIN | fields), (("correlation-id", str(one).encode()),))
        desk.worker.launch()
        assert [desk.answer(one).error_type for one in asked] == [
            *(None, "invalid_event", None, "invalid_event", "invalid_event", None)
        ]
        reasons = [reason(letter) for letter in desk.kafka.read(desk.kafka.fleet.dead_letters, 3)]
    assert sorted("field 'attempt.run_start'" in text for text in reasons) == [False, True, True]
    assert sum("field 'deadline'" in text for text in reasons) == 1
    assert all("between 1970-01-01 and 2200-01-01" in text for text in reasons)
    postgres_server.drop_database(url)
