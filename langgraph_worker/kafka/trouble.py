"""What Kafka's errors mean to a person: one sentence each, with the remedy."""

from __future__ import annotations

import logging
import time

from confluent_kafka import KafkaError, KafkaException

from langgraph_worker.errors import SettingsError

logger = logging.getLogger(__name__)

_UNREACHABLE = (
    "no broker answers at {servers} ({detail}). Check KAFKA_BOOTSTRAP_SERVERS, that Kafka runs and can be reached "
    "from here, and that security.protocol in KAFKA_CONFIG is the listener's"
)
_EXPLAINED: dict[int, str] = {
    KafkaError._AUTHENTICATION: (
        "Kafka at {servers} refuses the credentials ({detail}). Check sasl.mechanism, sasl.username and sasl.password "
        "in KAFKA_CONFIG"
    ),
    KafkaError.SASL_AUTHENTICATION_FAILED: (
        "Kafka at {servers} refuses the credentials ({detail}). Check sasl.mechanism, sasl.username and sasl.password "
        "in KAFKA_CONFIG"
    ),
    KafkaError._SSL: (
        "TLS with {servers} fails ({detail}). Check security.protocol and the ssl.* settings in KAFKA_CONFIG, "
        "such as ssl.ca.location"
    ),
    KafkaError._RESOLVE: "the host name in {servers} is unknown ({detail}). Check KAFKA_BOOTSTRAP_SERVERS",
    KafkaError._ALL_BROKERS_DOWN: _UNREACHABLE,
    KafkaError._TRANSPORT: _UNREACHABLE,
    KafkaError._TIMED_OUT: _UNREACHABLE,
    KafkaError._MSG_TIMED_OUT: "the message was not acknowledged in time by {servers}",
    KafkaError.UNKNOWN_TOPIC_OR_PART: ("the topic does not exist ({detail}). Create it, or start with --create-topics"),
    KafkaError._UNKNOWN_TOPIC: "the topic does not exist ({detail}). Create it, or start with --create-topics",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (
        "this user may not use the topic ({detail}). Grant READ on the events and control topics, WRITE on the "
        "results, dead-letter and progress topics"
    ),
    KafkaError.GROUP_AUTHORIZATION_FAILED: (
        "this user may not use the consumer group ({detail}). Grant READ on the group, or change "
        "KAFKA_CONSUMER_GROUP_ID"
    ),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: (
        "this user lacks a right ({detail}). Grant WRITE on the results topic (before Kafka 2.8 IDEMPOTENT_WRITE on "
        "the cluster, too), CREATE on the cluster for --create-topics"
    ),
    KafkaError.MSG_SIZE_TOO_LARGE: (
        "the topic does not take messages of this size. Raise its max.message.bytes, or lower "
        "LANGGRAPH_WORKER_MAX_MESSAGE_BYTES"
    ),
}
CREDENTIALS = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
FORBIDDEN = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
HOPELESS = CREDENTIALS | FORBIDDEN
"""Before a worker is ready these end it: nothing but a person's change helps."""


def explain(error: KafkaError, servers: str) -> str:
    """One sentence that names the place and the remedy."""
    text = _EXPLAINED.get(error.code(), "Kafka at {servers} reports {name}: {detail}")
    return text.format(servers=servers, detail=error.str(), name=error.name())


def refused_settings(error: KafkaException) -> SettingsError:
    """What a client raised that does not take its settings; librdkafka names the one."""
    return SettingsError(f"KAFKA_CONFIG: {error.args[0].str()}. Correct or remove the setting it names")


class TroubleLog:
    """Logs a client's errors: each kind at most once in half a minute, since a lost broker repeats them endlessly.

    Safe to call from a client's own thread.

    :param client: which client, for the reader.
    """

    def __init__(self, client: str, servers: str, every: float = 30.0) -> None:
        self._client = client
        self._servers = servers
        self._every = every
        self._last: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """Log it, unless the same kind was logged a moment ago."""
        now = time.monotonic()
        if now - self._last.get(error.code(), -self._every) < self._every:
            return
        self._last[error.code()] = now
        if error.code() == KafkaError._TRANSPORT:  # one of several brokers perhaps, and usual when connections are idle
            text, level = f"lost a connection, trying again: {error.str()}", logging.WARNING
        else:
            text, level = explain(error, self._servers), logging.ERROR
        logger.log(level, "%s: %s", self._client, text, extra={"action": "kafka_trouble"})
