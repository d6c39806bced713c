"""Check KAFKA_CONFIG: a person may set what reaches and trusts the broker, but nothing that the protocol rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_events.kafka_rules import CLIENT_RULES, GROUP_RULES, violations

_OWN_SETTING = {
    "bootstrap.servers": "KAFKA_BOOTSTRAP_SERVERS",
    "metadata.broker.list": "KAFKA_BOOTSTRAP_SERVERS",
    "group.id": "KAFKA_CONSUMER_GROUP_ID",
    "message.max.bytes": "LANGGRAPH_WORKER_MAX_MESSAGE_BYTES",
}
_SET_BY_THE_WORKER = frozenset({"logger", "on_delivery", "on_commit", "enable.partition.eof"})


def refuse_protocol_breakers(config: Mapping[str, Any]) -> None:
    """Check a person's librdkafka settings.

    :raises ValueError: names the first setting that would break the protocol, why, and what to do instead.
    """
    for name in config:
        if name in _OWN_SETTING:
            raise ValueError(f"{name}: has a setting of its own; set {_OWN_SETTING[name]} instead")
        if name in _SET_BY_THE_WORKER or name.endswith("_cb"):
            raise ValueError(f"{name}: the worker sets it itself; remove it")
    for name, rule in violations(config, {**CLIENT_RULES, **GROUP_RULES}):
        wanted = f"must be {' or '.join(rule.allowed)}" if rule.allowed else "must not be set"
        raise ValueError(f"{name}: {wanted}, because {rule.reason}; remove it")
