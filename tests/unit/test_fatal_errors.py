"""A client of Kafka that has failed for good raises that from whatever call serves it, and tells ``error_cb`` nothing.

Real brokers give such an error where a right is missing (tests/integration/test_least_rights.py); here every client
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
from airflow_provider_langgraph.triggers import control_sender as module
from airflow_provider_langgraph.triggers.control_sender import ControlSender
from langgraph_worker.errors import BrokerError
from langgraph_worker.kafka import notices, producer
from langgraph_worker.kafka.notices import KafkaNotices
from langgraph_worker.kafka.producer import AckProducer
from workflow_events.control import WorkflowCancelledEvent

SETTINGS = {"bootstrap.servers": "broker:9092"}
FATAL = KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "Failed to acquire PID", fatal=True)


class Fails:
    """Takes messages, and fails when it is served."""

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
    with pytest.raises(BrokerError, match="Grant WRITE on the results topic"):
        await made.failed
    made.close(1)
    assert "producer" not in {thread.name for thread in threading.enumerate()}


def test_notices_are_dropped(monkeypatch):
    monkeypatch.setattr(notices, "Client", Fails)
    made = KafkaNotices(SETTINGS)
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
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    sender = ControlSender(SETTINGS)
    sender.send("control", WorkflowCancelledEvent(correlation_id=uuid4(), reason="killed"), "the cancel")
    assert sent.wait(10)
    assert len(made) == 2
