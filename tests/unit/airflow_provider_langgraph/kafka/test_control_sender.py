"""Control messages are delivered by a thread that outlives their sender, over a client that is a fake."""

from __future__ import annotations

import logging
import queue
import threading
from types import SimpleNamespace
from uuid import UUID, uuid4

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException

from airflow_provider_langgraph.kafka import control_sender as module
from airflow_provider_langgraph.kafka.control_sender import (
    FIRST_PAUSE_SECONDS,
    IDLE_SECONDS,
    TRY_SECONDS,
    ControlSender,
    control_sender,
)
from workflow_events.control import WorkflowCancelledEvent

SETTINGS = {"bootstrap.servers": "broker:9092"}
AWAY = KafkaError(KafkaError._MSG_TIMED_OUT, "no broker")


class Taken:
    """A message that the client has taken, and whose report it owes."""

    def __init__(self, cluster, message):
        self._cluster = cluster
        self.topic, self.value, self._report = message["topic"], message["value"], message["on_delivery"]

    @property
    def request(self):
        return WorkflowCancelledEvent.model_validate_json(self.value).correlation_id

    def report(self, error=None):
        """Report its delivery, and wait until the sender has taken that in."""
        taken_in = threading.Event()
        self._cluster.reports.put(lambda: (self._report(error, None), taken_in.set()))
        assert taken_in.wait(10)


class Cluster:
    """What all clients talk to.

    :ivar errors: each comes out of one call that makes a client or hands it a message.
    :ivar is_quick: it acknowledges what it takes by itself.
    :ivar open: only while it is set, clients can be made.
    """

    def __init__(self):
        self.taken = queue.SimpleQueue()
        self.reports = queue.SimpleQueue()
        self.errors = {"made": [], "produce": []}
        self.clients = []
        self.is_quick = False
        self.open = threading.Event()
        self.open.set()
        self._turns = 0
        self._turned = threading.Condition()

    def take(self):
        return self.taken.get(timeout=10)

    def wait_for_turns(self, count=3):
        """Let the sender look so many times for what it could do."""
        with self._turned:
            wanted = self._turns + count
            assert self._turned.wait_for(lambda: self._turns >= wanted, 10)

    def turned(self):
        with self._turned:
            self._turns += 1
            self._turned.notify_all()

    def fail(self, call):
        if self.errors[call]:
            raise self.errors[call].pop()


class Producer:
    cluster: Cluster

    def __init__(self, settings, **_):
        assert self.cluster.open.wait(10)
        self.cluster.fail("made")
        self.cluster.clients.append(settings)

    def produce(self, topic, **message):
        self.cluster.fail("produce")
        self.cluster.taken.put(Taken(self.cluster, {"topic": topic, **message}))
        if self.cluster.is_quick:
            self.cluster.reports.put(lambda: message["on_delivery"](None, None))

    def poll(self, timeout):
        while not self.cluster.reports.empty():
            self.cluster.reports.get()()
        self.cluster.turned()


@pytest.fixture
def cluster(monkeypatch):
    cluster = Cluster()
    monkeypatch.setattr(Producer, "cluster", cluster, raising=False)
    monkeypatch.setattr(confluent_kafka, "Producer", Producer)
    return cluster


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def sender(cluster, clock, monkeypatch, caplog):
    """A sender that ends once nothing is under way; a test reports all that it sends."""
    caplog.set_level(logging.INFO, module.__name__)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    return ControlSender(SETTINGS, lambda: clock.now)


def send(sender, request: UUID | None = None) -> UUID:
    request = request or uuid4()
    sender.send("control", WorkflowCancelledEvent(correlation_id=request), f"the cancel of {request}")
    return request


def ended(thread) -> bool:
    """Whether it comes to its end: whatever it was given is off its hands."""
    thread.join(10)
    return not thread.is_alive()


def said(caplog, level) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_a_message_can_be_handed_over_before_there_is_a_client(cluster, sender):
    cluster.open.clear()
    request = send(sender)
    assert cluster.clients == []  # on_kill is over by now
    cluster.open.set()
    thread, taken = sender._thread, cluster.take()
    assert (taken.topic, taken.request) == ("control", request)
    taken.report()
    assert ended(thread)


def test_what_is_acknowledged_after_five_seconds_goes_out_once(cluster, clock, sender, caplog):
    """``on_kill`` has about one."""
    request = send(sender)
    thread, taken = sender._thread, cluster.take()
    for _ in range(5):
        clock.now += 1
        cluster.wait_for_turns()
    assert thread.is_alive()
    taken.report()
    assert ended(thread)
    assert cluster.taken.empty()
    assert said(caplog, logging.INFO) == [f"Sent the cancel of {request}"]
    assert said(caplog, logging.WARNING) == []


def test_what_fails_is_sent_again_after_a_pause(cluster, clock, sender, caplog):
    request = send(sender)
    thread, first = sender._thread, cluster.take()
    first.report(AWAY)
    clock.now += FIRST_PAUSE_SECONDS / 2
    cluster.wait_for_turns()
    assert cluster.taken.empty()
    clock.now += FIRST_PAUSE_SECONDS / 2
    second = cluster.take()
    assert (second.topic, second.value) == (first.topic, first.value)
    second.report()
    assert ended(thread)
    assert cluster.taken.empty()
    [warning] = said(caplog, logging.WARNING)
    assert warning.startswith(f"the cancel of {request} could not be sent yet: _MSG_TIMED_OUT")
    assert said(caplog, logging.INFO) == [f"Sent the cancel of {request}"]


def test_what_never_gets_through_is_given_up_by_name_and_holds_nothing_up(cluster, clock, sender, caplog):
    lost = send(sender)
    thread, taken = sender._thread, cluster.take()
    clock.now += TRY_SECONDS - FIRST_PAUSE_SECONDS
    taken.report(AWAY)
    kept = send(sender)
    cluster.take().report()  # what came later does not wait behind it
    clock.now += FIRST_PAUSE_SECONDS
    last = cluster.take()
    assert last.request == lost
    last.report(AWAY)
    assert ended(thread)
    assert cluster.taken.empty()
    [error] = said(caplog, logging.ERROR)
    assert error.startswith(f"the cancel of {lost} could not be sent: _MSG_TIMED_OUT")
    assert said(caplog, logging.INFO) == [f"Sent the cancel of {kept}"]


def test_the_thread_and_its_client_outlive_the_last_message_for_a_while_and_come_back(
    cluster, clock, sender, monkeypatch
):
    monkeypatch.setattr(module, "IDLE_SECONDS", IDLE_SECONDS)
    send(sender)
    thread = sender._thread
    cluster.take().report()
    clock.now += IDLE_SECONDS - 1
    send(sender)
    cluster.take().report()
    assert sender._thread is thread
    assert len(cluster.clients) == 1
    clock.now += IDLE_SECONDS
    assert ended(thread)

    request = send(sender)
    another, taken = sender._thread, cluster.take()
    assert another is not thread
    assert taken.request == request
    assert len(cluster.clients) == 2
    taken.report()
    clock.now += IDLE_SECONDS
    assert ended(another)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("produce", BufferError("Local: Queue full")),
        ("produce", KafkaException(KafkaError(KafkaError._STATE, "Local: Erroneous state"))),
        ("made", KafkaException(KafkaError(KafkaError._INVALID_ARG, "No such property"))),
    ],
)
def test_what_the_client_does_not_take_is_tried_again(cluster, sender, monkeypatch, caplog, call, error):
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.0)
    cluster.errors[call].append(error)
    request = send(sender)
    thread, taken = sender._thread, cluster.take()
    assert taken.request == request
    taken.report()
    assert ended(thread)
    assert said(caplog, logging.WARNING) == [f"the cancel of {request} could not be sent yet: {error}"]
    assert said(caplog, logging.INFO) == [f"Sent the cancel of {request}"]


def test_each_of_many_messages_from_many_threads_goes_out_once(cluster, sender):
    cluster.is_quick = True
    requests = [[uuid4() for _ in range(50)] for _ in range(8)]
    together = threading.Barrier(len(requests))

    def send_all(mine):
        together.wait(10)
        for request in mine:
            send(sender, request)

    threads = [threading.Thread(target=send_all, args=(mine,)) for mine in requests]
    for thread in threads:
        thread.start()
    taken = [cluster.take().request for _ in range(400)]
    assert all(ended(thread) for thread in threads)
    if (last := sender._thread) is not None:
        assert ended(last)
    assert cluster.taken.empty()
    assert sorted(taken) == sorted(request for mine in requests for request in mine)


def test_each_connection_has_one_sender(monkeypatch):
    monkeypatch.setattr(module, "_senders", {})
    sender = control_sender(SETTINGS)
    assert control_sender(dict(SETTINGS)) is sender
    assert control_sender(SETTINGS | {"error_cb": print}) is sender
    another = control_sender(SETTINGS | {"sasl.username": "me"})
    assert another is not sender
    assert control_sender(SETTINGS | {"sasl.username": "me"}) is another
