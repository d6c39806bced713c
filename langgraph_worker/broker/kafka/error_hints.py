"""Kafka's errors in the worker's words: one sentence each, with the remedy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException

from langgraph_worker.errors import SettingsError
from workflow_events.kafka_errors import Words, hint, without_secrets

logger = logging.getLogger(__name__)

WORDS = Words(
    servers="KAFKA_BOOTSTRAP_SERVERS",
    client="KAFKA_CONFIG",
    client_files="on this host",
    topics="LANGGRAPH_WORKER_FLEET or the KAFKA_..._TOPIC setting",
    topic_rights="READ on the events and control topics, WRITE on the results, dead-letter and progress topics",
    group_remedy="grant it READ on the group, or change KAFKA_CONSUMER_GROUP_ID",
    cluster_rights="WRITE on the results topic (before Kafka 2.8 also IDEMPOTENT_WRITE on the cluster), and CREATE on "
    "the cluster for --create-topics",
    size_remedy="raise the topic's max.message.bytes, or lower LANGGRAPH_WORKER_MAX_MESSAGE_BYTES",
)


def explain(error: KafkaError, servers: str) -> str:
    """What is wrong, where, and what a person can do about it."""
    found = hint(error.name(), WORDS, servers)
    if found is None:
        return f"Kafka at {servers} reports {error.name()}: {without_secrets(error.str())}"
    return f"{found.problem} ({without_secrets(error.str())}){_as_sentence(found.remedy)}"


def refused_settings(error: KafkaException) -> SettingsError:
    """The error for settings that librdkafka does not take; librdkafka names the setting."""
    found = hint("_INVALID_ARG", WORDS)
    remedy = _as_sentence(found.remedy) if found is not None else ""
    return SettingsError(f"{WORDS.client}: {without_secrets(error.args[0].str())}{remedy}")


def _as_sentence(remedy: str) -> str:
    return f". {remedy[0].upper()}{remedy[1:]}" if remedy else ""


class TroubleLog:
    """Logs a client's errors, each kind at most once in a while: a client repeats them while its broker is away.

    Safe to call from a client's own thread.

    :param client: the client's name, for the reader.
    :param every_seconds: how long the same kind of error is not logged again.
    """

    def __init__(
        self, client: str, servers: str, *, every_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._servers = servers
        self._every_seconds = every_seconds
        self._clock = clock
        self._logged_at: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """Log the error, unless the same kind was logged a moment ago."""
        now = self._clock()
        if now - self._logged_at.get(error.code(), -self._every_seconds) < self._every_seconds:
            return
        self._logged_at[error.code()] = now
        if error.code() == KafkaError._TRANSPORT:  # perhaps one broker of several; usual when connections are idle
            text, level = f"lost a connection, trying again: {without_secrets(error.str())}", logging.WARNING
        else:
            text, level = explain(error, self._servers), logging.ERROR
        logger.log(level, "%s: %s", self._client, text, extra={"action": "kafka_trouble"})
