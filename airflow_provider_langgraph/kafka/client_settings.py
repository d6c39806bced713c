"""librdkafka settings: what a connection may set, and what each kind of client adds.

The connection sets how a broker is reached and trusted (SASL, TLS, OAUTHBEARER, ...). It must not set what the protocol
rests on: a setting that would silently lose or misroute messages is refused by name.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_langgraph.exceptions import KafkaSettingsError
from workflow_events.kafka_rules import CLIENT_RULES, PARTITIONER, READS_FEW, READS_LITTLE, violations

# The consumers of the official Kafka provider join groups and may need these. Our consumers join none.
_GROUP_SETTINGS = frozenset({"group.id", "auto.offset.reset", "group.instance.id", "group.protocol"})


def checked(extra: dict[str, Any], connection_id: str) -> dict[str, Any]:
    """Check the settings, and remove those that our clients set themselves.

    :raises KafkaSettingsError: ``bootstrap.servers`` is missing, or a setting would break the protocol.
    """
    if not extra.get("bootstrap.servers"):
        raise KafkaSettingsError(
            f"Airflow connection {connection_id!r}: the extra has no 'bootstrap.servers'. Set the extra to "
            f'JSON such as {{"bootstrap.servers": "broker:9092"}}'
        )
    for name, rule in violations(extra, CLIENT_RULES):
        remedy = f"Remove it, or set it to {rule.allowed[0]!r}" if rule.allowed else "Remove it"
        raise KafkaSettingsError(
            f"Airflow connection {connection_id!r}: {name} = {extra[name]!r} in the extra cannot be used: "
            f"{rule.reason}. {remedy}"
        )
    kept = {name: value for name, value in extra.items() if name not in CLIENT_RULES and name not in _GROUP_SETTINGS}
    # librdkafka logs every failed connection itself, many times; error_cb gets what matters, and it is explained.
    return kept if "debug" in kept else {"log_level": 2} | kept


def producer_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for a producer whose delivery report means: on all in-sync replicas, once and in order."""
    return settings | {"acks": "all", "enable.idempotence": True, "partitioner": PARTITIONER}


def listener_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for a consumer that gets its start offsets from its owner and commits nothing.

    A start offset that is gone is an error that the owner handles, never a silent jump.
    """
    return (
        {**READS_LITTLE, **READS_FEW}
        | settings
        | {
            "group.id": "airflow-langgraph-listener",  # librdkafka requires one; it is not used
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": False,
            "allow.auto.create.topics": False,
            "topic.metadata.refresh.interval.ms": 10_000,
            "fetch.wait.max.ms": 100,
        }
    )
