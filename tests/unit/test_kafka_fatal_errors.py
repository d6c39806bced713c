"""A Kafka client that has failed for good raises the error from the call that serves it; ``error_cb`` does not get it.

Real brokers cause such an error where a right is missing (tests/integration/test_least_rights.py). Here every client
gets one.
"""

from __future__ import annotations

import threading
from uuid import uuid4

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException

from airflow_provider_langgraph.exceptions import PublishError
from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.kafka import control_sender as module
from airflow_provider_langgraph.kafka.control_sender import ControlSender
from langgraph_worker.broker.kafka import best_effort_producer, producer
from langgraph_worker.broker.kafka.best_effort_producer import KafkaBestEffortProducer
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.errors import BrokerError
from workflow_events.control import WorkflowCancelledEvent

SETTINGS = {"bootstrap.servers": "broker:9092"}
FATAL = KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "Failed to acquire PID", fatal=True)


class Fails:
    """A client that takes messages, and fails when it is polled or flushed."""

    def __init__(self, settings, **_):
        pass

    def produce(self, topic, **_):
        pass

    def poll(self, timeout=-1):
        raise KafkaException(FATAL)

    flush = poll


async def test_a_worker_hears_of_it(monkeypatch):
    monkeypatch.setattr(producer, "Client", Fails)
    made = AckProducer(SETTINGS)
    with pytest.raises(BrokerError, match="Grant it WRITE on the results topic"):
        await made.failed
    made.close(1)
    assert "producer" not in {thread.name for thread in threading.enumerate()}


def test_notices_are_dropped(monkeypatch):
    monkeypatch.setattr(best_effort_producer, "Client", Fails)
    made = KafkaBestEffortProducer(SETTINGS)
    assert not made.offer("progress", b"key", b"value", [])
    made.close(1)


def test_a_publisher_is_told_what_is_missing(monkeypatch):
    monkeypatch.setattr(confluent_kafka, "Producer", Fails)
    monkeypatch.setenv("AIRFLOW_CONN_FATAL", '{"conn_type": "kafka", "extra": {"bootstrap.servers": "broker:9092"}}')
    with pytest.raises(PublishError, match="lacks a right on the cluster"):
        KafkaHook("fatal").cancel(uuid4())


@pytest.mark.parametrize("error", [KafkaException(FATAL), RuntimeError("the connection's own stats_cb failed")])
def test_a_cancel_is_sent_by_another_client(monkeypatch, error):
    made = []

    class FailsOnce(Fails):
        def __init__(self, settings, **_):
            self._reports = []
            made.append(self)

        def produce(self, topic, *, on_delivery, **_):
            self._reports.append(on_delivery)

        def poll(self, timeout=-1):
            if self is made[0]:
                raise error
            for report in self._reports:
                report(None, None)
                sent.set()
            self._reports = []

    sent = threading.Event()
    monkeypatch.setattr(confluent_kafka, "Producer", FailsOnce)
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    sender = ControlSender(SETTINGS)
    sender.send("control", WorkflowCancelledEvent(correlation_id=uuid4(), reason="killed"), "the cancel")
    assert sent.wait(10)
    assert len(made) == 2
