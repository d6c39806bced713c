"""Sends control messages from a thread of its own: the caller may be gone in a second."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.kafka.error_hints import with_errors
from airflow_provider_langgraph.kafka.sharing import key_of_settings
from workflow_events.backoff import Backoff
from workflow_events.codec import ControlMessage, Encoded, encode

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger(__name__)

TRY_SECONDS = 600.0
"""How long a message is tried: longer than a broker takes to restart, or a cluster to elect its leaders."""

IDLE_SECONDS = 30.0
"""How long the thread and its producer outlive the last message."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0

WAIT_SECONDS = 1.0
REPORT_WAIT_SECONDS = 0.02
"""How long the thread waits for the next message; while reports are due it serves its client in between."""


@dataclass(slots=True)
class _Outgoing:
    """A message that is to be delivered.

    :param what: for the log: "the cancel of request …".
    :param expires_at: when it is given up, on the sender's clock.
    """

    topic: str
    encoded: Encoded
    what: str
    expires_at: float
    pauses: Backoff


class ControlSender:
    """Delivers control messages of one connection, trying for up to ten minutes, while Kafka is away too.

    Safe to call from any thread. What was handed over and not delivered is lost with the process.

    :param settings: librdkafka settings of the connection.
    :param now: the clock, in seconds.
    """

    def __init__(self, settings: dict[str, Any], now: Callable[[], float] = time.monotonic) -> None:
        # A message that arrives twice changes nothing, so the client need not make sure that it arrives once.
        configured, self._errors = with_errors(settings)
        self._settings = configured | {"acks": "all", "linger.ms": 0, "message.timeout.ms": 10_000}
        self._lock = threading.Lock()
        self._now = now
        self._new: queue.SimpleQueue[_Outgoing] = queue.SimpleQueue()
        self._paused: list[tuple[float, _Outgoing]] = []  # with the time when each is tried again
        self._unreported: dict[int, _Outgoing] = {}  # taken by the client, which owes a report of each
        self._under_way = 0
        self._thread: threading.Thread | None = None

    def send(self, topic: str, message: ControlMessage, what: str) -> None:
        """Hand a message over. Returns at once; the log says if it could not be delivered.

        :param what: for the log: "the cancel of request …".
        """
        pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        outgoing = _Outgoing(topic, encode(message), what, self._now() + TRY_SECONDS, pauses)
        with self._lock:
            self._under_way += 1
            self._new.put(outgoing)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="langgraph-control", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        from confluent_kafka import Producer

        producer: Producer | None = None
        idle_since = self._now()
        while not self._may_end(idle_since):
            for outgoing in self._due():
                try:
                    producer = producer or Producer(self._settings, logger=log)
                    self._produce(producer, outgoing)
                except Exception as error:  # noqa: BLE001 - if this thread ends, all of its messages are lost
                    self._try_again(outgoing, str(error))
            if producer is not None and not self._serve(producer):
                producer = None
            if self._under_way:
                idle_since = self._now()

    def _serve(self, producer: Producer) -> bool:
        """Take in the client's reports; False if it will send nothing any more."""
        from confluent_kafka import KafkaException

        try:
            producer.poll(0)
        except Exception as error:  # noqa: BLE001 - a fatal one, or a callback of the connection's own that fails
            why = self._errors.explain(error.args[0]) if isinstance(error, KafkaException) else str(error)
            unreported, self._unreported = self._unreported, {}
            for outgoing in unreported.values():
                self._try_again(outgoing, why)
            return False
        return True

    def _due(self) -> list[_Outgoing]:
        """What is to be sent now; waits a moment for it."""
        now = self._now()
        due = [outgoing for at, outgoing in self._paused if at <= now]
        self._paused = [(at, outgoing) for at, outgoing in self._paused if at > now]
        try:
            due.append(self._new.get(timeout=REPORT_WAIT_SECONDS if self._under_way else WAIT_SECONDS))
            while True:
                due.append(self._new.get_nowait())
        except queue.Empty:
            return due

    def _may_end(self, idle_since: float) -> bool:
        with self._lock:
            if self._under_way or self._now() - idle_since < IDLE_SECONDS:
                return False
            self._thread = None
            return True

    def _produce(self, producer: Producer, outgoing: _Outgoing) -> None:
        def reported(error: KafkaError | None, _: Message) -> None:
            if self._unreported.pop(id(outgoing), None) is None:  # given up before, with its client
                return
            if error is not None:
                self._try_again(outgoing, self._errors.explain(error))
                return
            self._errors.forget()
            log.info("Sent %s", outgoing.what, extra={"action": "control_sent"})
            self._finish_one()

        encoded = outgoing.encoded
        producer.produce(
            outgoing.topic,
            value=encoded.value,
            key=encoded.key,
            headers=list(encoded.headers),
            on_delivery=reported,
        )
        self._unreported[id(outgoing)] = outgoing

    def _try_again(self, outgoing: _Outgoing, why: str) -> None:
        if self._now() >= outgoing.expires_at:
            log.error("%s could not be sent: %s", outgoing.what, why, extra={"action": "control_lost"})
            self._finish_one()
            return
        log.warning("%s could not be sent yet: %s", outgoing.what, why, extra={"action": "control_late"})
        self._paused.append((self._now() + outgoing.pauses.next_seconds(), outgoing))

    def _finish_one(self) -> None:
        with self._lock:
            self._under_way -= 1


_senders: dict[str, ControlSender] = {}
_guard = threading.Lock()


def control_sender(settings: dict[str, Any]) -> ControlSender:
    """The process's sender for a connection.

    :param settings: librdkafka settings of the connection.
    """
    with _guard:
        key = key_of_settings(settings)
        if key not in _senders:
            _senders[key] = ControlSender(settings)
        return _senders[key]
