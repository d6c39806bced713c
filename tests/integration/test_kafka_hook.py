from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer

from airflow_provider_langgraph.exceptions import KafkaError, MessageRefusedError, PublishError
from airflow_provider_langgraph.hooks.kafka import KafkaHook
from tests.support.kafka import QUIET
from tests.support.ti_ids import new_ti_id
from workflow_events import EventSource, EventType, Fleet, MessageTooLargeError, WorkflowEvent, WorkflowEventPayload
from workflow_events.codec import Record, decode_control, decode_event, encode
from workflow_events.models import Attempt

pytestmark = pytest.mark.integration


def event(**fields):
    return WorkflowEvent.model_validate(
        {"event_type": "workflow.triggered", "source": "airflow", "workflow_id": "d", "workflow_run_id": "r"} | fields
    )


@pytest.fixture
def connect(monkeypatch):
    def to(extra, name="kafka_default", **options):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "kafka", "extra": extra}))
        return KafkaHook(name, **options)

    return to


def test_a_published_event_is_where_the_report_says(kafka, connect):
    hook = connect(kafka.client)
    before = hook.end_offsets(kafka.fleet.events)
    sent = event(payload={"data": {"a": 1}})
    delivered = hook.publish(sent, kafka.fleet.events)

    (message,) = kafka.read(kafka.fleet.events, 1)
    assert (message.topic(), message.partition(), message.offset()) == (
        delivered.topic,
        delivered.partition,
        delivered.offset,
    )
    assert decode_event(Record(kafka.fleet.events, 0, 0, message.value(), message.headers())) == sent
    assert delivered.offset >= before.offsets[delivered.partition]


def test_the_documents_publish_works(kafka, connect):
    sent = connect(kafka.client).publish_workflow_event(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="dag",
        workflow_run_id="run",
        payload={"data": {"task": "process_data"}},
        topic=kafka.fleet.events,
    )
    (message,) = kafka.read(kafka.fleet.events, 1)
    assert json.loads(message.value())["event_id"] == str(sent.event_id)


def test_a_newer_try_is_announced_on_the_control_topic(kafka, connect):
    newer = Attempt(task="t" * 64, id=new_ti_id(), try_number=2, max_tries=3)
    connect(kafka.client).announce(newer, kafka.fleet.control)
    (message,) = kafka.read(kafka.fleet.control, 1)
    announced = decode_control(Record(kafka.fleet.control, 0, 0, message.value(), message.headers()))
    assert (announced.event_type, announced.attempt) == (EventType.WORKFLOW_SUPERSEDED, newer)


def test_end_offsets_move_with_what_is_written(kafka, connect):
    hook = connect(kafka.client)
    before = hook.end_offsets(kafka.fleet.results)
    hook.publish(event(), kafka.fleet.results)
    after = hook.end_offsets(kafka.fleet.results)

    assert before.cluster == after.cluster
    assert set(before.offsets) == set(range(len(before.offsets)))
    assert sum(after.offsets.values()) == sum(before.offsets.values()) + 1


def test_topics_are_created_once(kafka, connect):
    own = Fleet(*(f"{kafka.prefix}-own-{name}" for name in ("e", "r", "p", "c", "d", "g")))
    hook = connect(kafka.client)

    assert set(hook.ensure_topics(own)) == {spec.name for spec in own.specs()}
    assert hook.ensure_topics(own) == []
    assert len(hook.end_offsets(own.results).offsets) == 12


@pytest.mark.parametrize("codec", ["zstd", "gzip", "lz4", "snappy"])
def test_a_topic_that_is_created_takes_no_record_that_grows_when_it_is_read(kafka, connect, codec):
    if kafka.broker.kind == "embedded":
        pytest.skip("the embedded broker has no settings of topics")
    own = Fleet.named(f"{kafka.prefix}-{codec}")
    connect(kafka.client).ensure_topics(own)
    reports = []
    large = {"compression.type": codec, "message.max.bytes": 10_000_000, "message.timeout.ms": 15_000}
    producer = Producer({**kafka.client, **QUIET, **large})
    for value in (b"\0" * 2_000_000, b"\0" * 100_000):
        producer.produce(own.events, value, on_delivery=lambda error, _: reports.append(error and error.name()))
        assert producer.flush(16) == 0
    assert reports == ["MSG_SIZE_TOO_LARGE", None]
    (message,) = kafka.read(own.events, 1)
    assert message.value() == b"\0" * 100_000


def test_a_good_connection_tests_well(kafka, connect):
    usable, says = connect(kafka.client).test_connection()
    assert usable, says
    assert "broker" in says


class TestRefused:
    def test_a_missing_topic_is_named_and_not_created(self, kafka, connect):
        hook = connect(kafka.client)
        for _ in range(2):
            with pytest.raises(KafkaError, match=r"no-such-topic.*does not exist.*create-topics"):
                hook.require_topics("no-such-topic")

    def test_an_oversize_event_names_size_and_limit(self, kafka, connect):
        hook = connect(kafka.client)
        before = hook.end_offsets(kafka.fleet.events)
        with pytest.raises(MessageTooLargeError, match=r"1,5\d\d,\d\d\d bytes, over the limit of 1,000,000") as caught:
            hook.publish(event(payload={"data": {"text": "x" * 1_500_000}}), kafka.fleet.events)
        assert "of a connection without message.max.bytes in its extra; to raise it, raise" in str(caught.value)
        assert hook.end_offsets(kafka.fleet.events) == before

    def test_the_connections_own_limit_is_named_where_it_refuses(self, kafka, connect):
        hook = connect(kafka.client | {"message.max.bytes": 20_000})
        with pytest.raises(
            MessageTooLargeError, match=r"over the limit of 20,000 that message\.max\.bytes in the extra"
        ):
            hook.publish(event(payload={"data": {"text": "x" * 30_000}}), kafka.fleet.events)

    def test_the_clients_framing_is_no_reason_to_try_again(self, kafka, connect):
        hook = connect(kafka.client | {"message.max.bytes": 20_000})
        asked = event(payload={"data": {"text": ""}})
        asked = asked.model_copy(
            update={"payload": WorkflowEventPayload(data={"text": "x" * (20_000 - encode(asked).size)})}
        )
        with pytest.raises(MessageTooLargeError, match=r"with the client's framing, is 20,000 bytes, over the limit"):
            hook.publish(asked, kafka.fleet.events)

    def test_the_topics_limit_is_named_where_the_broker_refuses(self, kafka, connect):
        if kafka.broker.kind == "embedded":
            pytest.skip("the embedded broker has no settings of topics")
        small = f"{kafka.prefix}-small"
        kafka.create(small, config={"max.message.bytes": "20000"})
        with pytest.raises(
            MessageRefusedError, match=r"of 30,\d\d\d bytes to .*-small: .*max\.message\.bytes"
        ) as caught:
            connect(kafka.client).publish(event(payload={"data": {"text": "x" * 30_000}}), small)
        assert "the connection" not in str(caught.value)

    @pytest.mark.parametrize("call", ["publish", "end_offsets", "test_connection"])
    def test_a_broker_that_is_not_there(self, connect, call):
        hook = connect({"bootstrap.servers": "127.0.0.1:1"}, timeout=2)
        if call == "test_connection":
            usable, says = hook.test_connection()
            assert not usable
        else:
            with pytest.raises(PublishError if call == "publish" else KafkaError) as caught:
                hook.publish(event(), "t") if call == "publish" else hook.end_offsets("t")
            says = str(caught.value)
        assert "no broker answers: check bootstrap.servers" in says

    @pytest.mark.parametrize("call", ["publish", "end_offsets", "test_connection"])
    def test_a_wrong_password_is_reported_as_such(self, sasl, connect, call):
        hook = connect(sasl | {"sasl.password": "wrong"}, timeout=15)
        if call == "test_connection":
            usable, says = hook.test_connection()
            assert not usable
        else:
            with pytest.raises(KafkaError) as caught:
                hook.publish(event(), "t") if call == "publish" else hook.end_offsets("t")
            says = str(caught.value)
        assert "Kafka refuses the credentials: check security.protocol" in says
        assert "wrong" not in says

    def test_the_right_password_is_let_in(self, sasl, connect):
        usable, says = connect(sasl).test_connection()
        assert usable, says
