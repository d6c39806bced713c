"""Choose a Kafka broker: the first of four kinds that this machine can run."""

from __future__ import annotations

import os
from collections.abc import Callable

from devtools.apache_kafka import ApacheKafka
from devtools.broker import Broker, ExternalBroker
from devtools.docker_kafka import DockerKafka
from devtools.embedded_broker import EmbeddedBroker
from devtools.errors import MissingToolError, NoRealKafkaError

_REAL: dict[str, Callable[[], Broker]] = {"Docker": DockerKafka, "Java": ApacheKafka}


def choose() -> Broker:
    """The broker of KAFKA_BOOTSTRAP_SERVERS; else Apache Kafka in Docker; else from Maven; else the embedded one.

    The broker is not started yet: enter it to start it.

    :raises NoRealKafkaError: a real Kafka is required (:func:`real_kafka_required`), and only the embedded one is left.
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


def real_kafka_required() -> bool:
    """Whether CI or DEVTOOLS_REQUIRE_APACHE_KAFKA says that the embedded broker is not enough."""
    return any(
        os.environ.get(name, "").lower() not in ("", "0", "false") for name in ("CI", "DEVTOOLS_REQUIRE_APACHE_KAFKA")
    )
