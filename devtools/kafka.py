"""Which Kafka broker to use: the first of four that this machine can have."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields

from devtools.apache_kafka import ApacheKafka
from devtools.broker import Broker, ExternalBroker
from devtools.docker_kafka import DockerKafka
from devtools.embedded_broker import EmbeddedBroker
from devtools.errors import MissingToolError, NoRealKafkaError
from workflow_events import Fleet

_REAL: dict[str, Callable[[], Broker]] = {"Docker": DockerKafka, "Java": ApacheKafka}


def choose() -> Broker:
    """The broker of KAFKA_BOOTSTRAP_SERVERS; else Apache Kafka in Docker; else from Maven; else the embedded one.

    The broker is not started yet: enter it.

    :raises NoRealKafkaError: when :func:`real_kafka_required` and only the embedded one is left.
    """
    if external := ExternalBroker.from_environment(os.environ):
        return external
    reasons = []
    for name, make in _REAL.items():
        try:
            return make()
        except MissingToolError as error:
            reasons.append(f"{name}: {error}")
    if real_kafka_required():
        raise NoRealKafkaError(
            "a real Apache Kafka is required here (CI or DEVTOOLS_REQUIRE_APACHE_KAFKA is set), and there is none. "
            + "; ".join(reasons)
            + ". Install Java 17 and Maven, or name a broker: KAFKA_BOOTSTRAP_SERVERS=host:9092"
        )
    return EmbeddedBroker()


def prefixed_fleet(prefix: str) -> Fleet:
    """A fleet whose topics are nobody else's: the default names behind a prefix."""
    return Fleet(**{field.name: f"{prefix}-{field.default}" for field in fields(Fleet)})


def real_kafka_required() -> bool:
    """Whether CI or DEVTOOLS_REQUIRE_APACHE_KAFKA says that a stand-in will not do."""
    return any(
        os.environ.get(name, "").lower() not in ("", "0", "false") for name in ("CI", "DEVTOOLS_REQUIRE_APACHE_KAFKA")
    )
