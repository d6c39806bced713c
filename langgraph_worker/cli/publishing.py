"""Messages that a command sends to the workers: it ends when the broker has all of them."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Sequence

from langgraph_worker.broker.kafka.admin import ClusterAdmin
from langgraph_worker.broker.kafka.client_configs import producer_config
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.broker.port import SendError
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.codec import Encoded


class NotSentError(WorkerError):
    """The broker has not acknowledged what a command has sent. It may have come nevertheless."""

    retriable = True


_AT_ONCE = 500
_CLOSE_SECONDS = 5.0
_REACH_KAFKA_SECONDS = 10.0


def user_name(given: str | None) -> str | None:
    """Who gives a command.

    :param given: the value of ``--by``; None: the system's user, where it has a name.
    """
    if given is not None:
        return given
    try:
        return getpass.getuser()[:128] or None
    except (OSError, KeyError):  # a container's user may have none
        return None


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
