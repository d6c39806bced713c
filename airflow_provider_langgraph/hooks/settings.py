"""librdkafka settings: what the connection may say, and what each kind of client adds.

Everything about reaching and trusting a broker is the connection's (SASL, TLS, OAUTHBEARER, ...). What the protocol
rests on is not: a setting that would silently lose or misroute messages is refused by name.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_langgraph.exceptions import KafkaSettingsError

PARTITIONER = "murmur2_random"
"""The one that Kafka's Java clients use, so that a key maps to the same partition whoever publishes."""

# Setting -> (values that are in order, why others are not).
_FIXED: dict[str, tuple[tuple[str, ...], str]] = {
    "enable.auto.commit": (("false",), "a position committed by a timer would skip replies that nobody has seen"),
    "enable.auto.offset.store": (("false",), "a position stored by a timer would skip replies that nobody has seen"),
    "partitioner": ((PARTITIONER,), "a task's requests must share a partition with those of every other publisher"),
    "acks": (("all", "-1"), "a delivery report must mean that the message is safe"),
    "request.required.acks": (("all", "-1"), "a delivery report must mean that the message is safe"),
    "enable.idempotence": (("true",), "a retried send must not duplicate or reorder requests"),
}

# Meant for consumers in a group, as the official provider's operators need them; ours have no group.
_IGNORED = frozenset({"group.id", "auto.offset.reset", "group.instance.id", "group.protocol"})


def checked(extra: dict[str, Any], connection_id: str) -> dict[str, Any]:
    """The connection's settings without what must not steer our clients.

    :raises KafkaSettingsError: ``bootstrap.servers`` is missing, or a setting would break the protocol.
    """
    if not extra.get("bootstrap.servers"):
        raise KafkaSettingsError(
            f"Airflow connection {connection_id!r}: the extra has no 'bootstrap.servers'. Set the extra to "
            f'JSON such as {{"bootstrap.servers": "broker:9092"}}'
        )
    for name, (allowed, why) in _FIXED.items():
        if name in extra and str(extra[name]).lower() not in allowed:
            raise KafkaSettingsError(
                f"Airflow connection {connection_id!r}: {name} = {extra[name]!r} in the extra cannot be used: {why}. "
                f"Remove it, or set it to {allowed[0]!r}"
            )
    kept = {name: value for name, value in extra.items() if name not in _FIXED and name not in _IGNORED}
    # librdkafka repeats every failed connection in a log of its own; what counts is told to error_cb, and explained.
    return kept if "debug" in kept else {"log_level": 2} | kept


def producer_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """For a producer whose delivery report means: safe on all in-sync replicas, once, in order."""
    return settings | {"acks": "all", "enable.idempotence": True, "partitioner": PARTITIONER}


def listener_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """For a consumer that is told where to read and commits nothing.

    A start that is no longer there is an error that the listener handles, never a silent jump.
    """
    return settings | {
        "group.id": "airflow-langgraph-listener",  # required by librdkafka, unused: nothing joins, nothing commits
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": False,
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 10_000,
        "fetch.wait.max.ms": 100,
    }
