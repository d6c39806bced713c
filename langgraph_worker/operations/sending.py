"""Messages to the workers, from commands and from the API: sent when the broker has acknowledged them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from langgraph_worker.broker.kafka.admin import ClusterAdmin
from langgraph_worker.broker.kafka.client_configs import producer_config
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.broker.port import SendError
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.codec import ControlMessage, Encoded, Record, decode_event, encode
from workflow_events.models import WorkflowEvent


class NotSentError(WorkerError):
    """The broker has not acknowledged what was sent. It may have come nevertheless."""

    retriable = True


_AT_ONCE = 500
_CLOSE_SECONDS = 5.0
_REACH_KAFKA_SECONDS = 10.0


def require_topic(settings: WorkerSettings, topic: str) -> None:
    """Check that a topic is there. A broker may create one that a setting misspells, and no worker would read it.

    :raises BrokerError: Kafka cannot be reached.
    :raises SettingsError: there is no such topic.
    """
    if topic not in ClusterAdmin(settings).describe(_REACH_KAFKA_SECONDS).topics:
        raise SettingsError(
            f"no topic {topic} at {settings.kafka_bootstrap_servers}, or this user may not see it: nothing was sent. "
            "Correct LANGGRAPH_WORKER_FLEET or the KAFKA_..._TOPIC setting, or grant this user DESCRIBE on it"
        )


async def send_all(settings: WorkerSettings, topic: str, messages: Sequence[Encoded]) -> list[SendError | None]:
    """Write messages to a topic; for each, in order, why the broker has not acknowledged it, or None if it has.

    What is acknowledged is on every in-sync replica. What is not may have been written nevertheless.

    :raises SettingsError: the client does not take its settings, or there is no such topic.
    :raises BrokerError: Kafka cannot be reached.
    """
    await asyncio.to_thread(require_topic, settings, topic)
    producer = AckProducer(producer_config(settings))
    try:
        found: list[SendError | None] = []
        for first in range(0, len(messages), _AT_ONCE):
            some = messages[first : first + _AT_ONCE]
            found += await asyncio.gather(*(_send(producer, topic, message) for message in some))
        return found
    finally:
        await asyncio.to_thread(producer.close, _CLOSE_SECONDS)


async def _send(producer: AckProducer, topic: str, message: Encoded) -> SendError | None:
    try:
        await producer.send(topic, message.key, message.value, message.headers)
    except SendError as error:
        return error
    return None


def require_readable(event: WorkflowEvent, settings: WorkerSettings) -> None:
    """Check that workers can read a request: they read no input that nests 200 levels deep.

    :raises WorkflowEventsError: it has no form in Kafka, none that they could read, or a larger one than they take.
    """
    message = encode_request(event, settings)
    decode_event(Record("", 0, 0, message.value, message.headers, message.key))


def encode_request(event: WorkflowEvent, settings: WorkerSettings) -> Encoded:
    """A request as workers take it.

    :raises WorkflowEventsError: it has no form in Kafka, or is larger than the workers take.
    """
    limit = settings.max_message_bytes
    return encode(event, max_bytes=limit, limit_set_by="LANGGRAPH_WORKER_MAX_MESSAGE_BYTES")


class MessageSender:
    """Sends requests and control messages, for a program that lives on. Of one event loop.

    Kafka may be away: a message waits for it, up to librdkafka's ``message.timeout.ms``.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        """:raises SettingsError: librdkafka does not take KAFKA_CONFIG."""
        self._settings = settings
        self._producer = AckProducer(producer_config(settings))
        self._known: set[str] = set()

    async def request(self, event: WorkflowEvent) -> None:
        """Send a request; returns when every in-sync replica has it.

        :raises WorkflowEventsError: it has no form in Kafka, or is larger than the workers take.
        :raises BrokerError: Kafka has not acknowledged it; it may have come nevertheless.
        :raises SettingsError: there is no such topic.
        """
        await self._send(self._settings.kafka_workflow_events_topic, encode_request(event, self._settings))

    async def control(self, message: ControlMessage) -> None:
        """Send a control message; returns when every in-sync replica has it.

        :raises BrokerError: as for a request.
        :raises SettingsError: there is no such topic.
        """
        await self._send(self._settings.kafka_workflow_control_topic, encode(message))

    async def _send(self, topic: str, message: Encoded) -> None:
        if topic not in self._known:
            await asyncio.to_thread(require_topic, self._settings, topic)
            self._known.add(topic)
        if self._producer.failed.done():  # it can never send again
            broken, self._producer = self._producer, AckProducer(producer_config(self._settings))
            broken.failed.exception()
            await asyncio.to_thread(broken.close, 0.0)
        await self._producer.send(topic, message.key, message.value, message.headers)

    async def close(self) -> None:
        """Wait a while for what is under way, then end."""
        await asyncio.to_thread(self._producer.close, _CLOSE_SECONDS)
