"""Sends what steers the fleet, from a thread of its own: whoever hands a message over may be gone in a second."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.hooks.broker_errors import with_errors
from airflow_provider_langgraph.triggers.shared import key_of_settings
from workflow_events.codec import ControlMessage, Encoded, encode

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger(__name__)

TRY_SECONDS = 600.0
"""How long a message is tried: longer than a broker takes to restart, or a cluster to elect its leaders."""

IDLE_SECONDS = 30.0
"""How long the thread and its producer outlive the last message."""

PAUSE = 1.0
LONGEST_PAUSE = 5.0


@dataclass(slots=True)
class _Letter:
    topic: str
    encoded: Encoded
    what: str
    expires: float
    pause: float


class ControlSender:
    """Delivers control messages of one connection, trying for up to ten minutes, while Kafka is away too.

    Safe to call from any thread. What was handed over and not delivered is lost with the process.

    :param settings: librdkafka settings of the connection.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        # A message that arrives twice changes nothing, so nothing has to be paid to arrive once.
        configured, self._errors = with_errors(settings)
        self._settings = configured | {"acks": "all", "linger.ms": 0, "message.timeout.ms": 10_000}
        self._lock = threading.Lock()
        self._letters: queue.SimpleQueue[_Letter] = queue.SimpleQueue()
        self._resting: list[tuple[float, _Letter]] = []
        self._sent: dict[int, _Letter] = {}  # which the client has and has not reported
        self._under_way = 0
        self._thread: threading.Thread | None = None

    def send(self, topic: str, message: ControlMessage, what: str) -> None:
        """Hand a message over. Returns at once; the log says if it could not be delivered.

        :param what: for the log: "the cancel of request …".
        """
        letter = _Letter(topic, encode(message), what, time.monotonic() + TRY_SECONDS, PAUSE)
        with self._lock:
            self._under_way += 1
            self._letters.put(letter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="langgraph-control", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        from confluent_kafka import Producer

        producer: Producer | None = None
        idle_since = time.monotonic()
        while not self._may_end(idle_since):
            for letter in self._due():
                try:
                    producer = producer or Producer(self._settings, logger=log)
                    self._produce(producer, letter)
                except Exception as error:  # noqa: BLE001 - this thread is the last hope of what it carries
                    self._again(letter, str(error))
            if producer is not None and not self._hear(producer):
                producer = None
            if self._under_way:
                idle_since = time.monotonic()

    def _hear(self, producer: Producer) -> bool:
        """Take in the client's reports; False if it will send nothing any more."""
        from confluent_kafka import KafkaException

        try:
            producer.poll(0)
        except Exception as error:  # noqa: BLE001 - a fatal one, or a callback of the connection's own that fails
            why = self._errors.explain(error.args[0]) if isinstance(error, KafkaException) else str(error)
            sent, self._sent = self._sent, {}
            for letter in sent.values():
                self._again(letter, why)
            return False
        return True

    def _due(self) -> list[_Letter]:
        """What is to be sent now; waits a moment for it."""
        now = time.monotonic()
        due = [letter for at, letter in self._resting if at <= now]
        self._resting = [(at, letter) for at, letter in self._resting if at > now]
        try:
            due.append(self._letters.get(timeout=0.02 if self._under_way else 1.0))
            while True:
                due.append(self._letters.get_nowait())
        except queue.Empty:
            return due

    def _may_end(self, idle_since: float) -> bool:
        with self._lock:
            if self._under_way or time.monotonic() - idle_since < IDLE_SECONDS:
                return False
            self._thread = None
            return True

    def _produce(self, producer: Producer, letter: _Letter) -> None:
        def reported(error: KafkaError | None, _: Message) -> None:
            if self._sent.pop(id(letter), None) is None:  # given up before, with its client
                return
            if error is not None:
                self._again(letter, self._errors.explain(error))
                return
            self._errors.forget()
            log.info("Sent %s", letter.what, extra={"action": "control_sent"})
            self._finished()

        encoded = letter.encoded
        producer.produce(
            letter.topic,
            value=encoded.value,
            key=encoded.key,
            headers=list(encoded.headers),
            on_delivery=reported,
        )
        self._sent[id(letter)] = letter

    def _again(self, letter: _Letter, why: str) -> None:
        if time.monotonic() >= letter.expires:
            log.error("%s could not be sent: %s", letter.what, why, extra={"action": "control_lost"})
            self._finished()
            return
        log.warning("%s could not be sent yet: %s", letter.what, why, extra={"action": "control_late"})
        self._resting.append((time.monotonic() + letter.pause, letter))
        letter.pause = min(letter.pause * 2, LONGEST_PAUSE)

    def _finished(self) -> None:
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
