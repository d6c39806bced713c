"""librdkafka's configuration: what a person may set, and what the protocol sets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_worker.settings import WorkerSettings

CLIENT_ID = "langgraph-worker-"
"""How the client ids of workers begin; the worker's id follows."""

LIBRDKAFKA_LOGGER = "librdkafka"

_OWN_SETTING = {
    "bootstrap.servers": "set KAFKA_BOOTSTRAP_SERVERS",
    "metadata.broker.list": "set KAFKA_BOOTSTRAP_SERVERS",
    "group.id": "set KAFKA_CONSUMER_GROUP_ID",
    "message.max.bytes": "set LANGGRAPH_WORKER_MAX_MESSAGE_BYTES",
}
# What may only have one value, and why.
_FIXED: dict[str, tuple[frozenset[str], str]] = {
    "enable.auto.commit": (frozenset({"false"}), "an offset is committed when the run store holds the request"),
    "enable.auto.offset.store": (frozenset({"false"}), "the worker says itself which offsets are done"),
    "auto.offset.reset": (
        frozenset({"earliest", "smallest", "beginning"}),
        "any other value would skip requests that wait when a group is new",
    ),
    "partitioner": (frozenset({"murmur2_random"}), "all writers must put one key into one partition"),
    "enable.idempotence": (frozenset({"true"}), "without it a retried send may be written twice or out of order"),
    "acks": (frozenset({"all", "-1"}), "a result counts as published when every in-sync replica has it"),
    "request.required.acks": (frozenset({"all", "-1"}), "a result counts as published when every replica has it"),
    "partition.assignment.strategy": (frozenset({"cooperative-sticky"}), "rebalances must be incremental"),
}
_IMPOSSIBLE = {"logger", "on_delivery", "on_commit", "default.topic.config", "transactional.id", "enable.partition.eof"}


def refuse_protocol_breakers(config: Mapping[str, Any]) -> None:
    """Check a person's librdkafka settings.

    :raises ValueError: names the first setting that would break the protocol, why, and what to do instead.
    """
    for name, value in config.items():
        text = str(value).lower()
        if name in _OWN_SETTING:
            raise ValueError(f"{name}: has a setting of its own; {_OWN_SETTING[name]} instead")
        if name in _IMPOSSIBLE or name.endswith("_cb"):
            raise ValueError(f"{name}: cannot be set from outside; remove it")
        allowed, why = _FIXED.get(name, (frozenset({text}), ""))
        if text not in allowed:
            raise ValueError(f"{name}: must be {' or '.join(sorted(allowed))}, because {why}; remove it")


def _shared(settings: WorkerSettings) -> dict[str, Any]:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value for name, value in settings.kafka_config.items()
    }
    return given | {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": given.get("client.id", CLIENT_ID + settings.worker_id),
        # Errors come through error_cb as well; librdkafka's own lines repeat them many times a second.
        "logger": logging.getLogger(LIBRDKAFKA_LOGGER),
    }


def consumer_config(settings: WorkerSettings) -> dict[str, Any]:
    """For the consumer of the events topic.

    It reads little ahead, and of each partition a little at a time: what is read waits in one queue for all partitions,
    where the flood of one is not to stand before the others.
    """
    little = {
        "queued.min.messages": 10,
        "max.partition.fetch.bytes": 65_536,
        "queued.max.messages.kbytes": 16_384,
    }
    config = (
        little
        | _shared(settings)
        | {
            "group.id": settings.kafka_consumer_group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
        }
    )
    if str(config.get("group.protocol", "classic")).lower() != "consumer":
        config["partition.assignment.strategy"] = "cooperative-sticky"
    return config


def control_config(settings: WorkerSettings) -> dict[str, Any]:
    """For the reader of the control topic, which joins no group and commits nothing. librdkafka asks for a group all
    the same, so it is one that the worker has the right to use.
    """
    return _shared(settings) | {
        "group.id": settings.kafka_consumer_group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "queued.max.messages.kbytes": 4_096,
    }


def producer_config(settings: WorkerSettings) -> dict[str, Any]:
    """For results and dead letters.

    The client's own limit lies above the worker's: a result at the limit must fit with its framing, and so must most
    dead letters, which are an event and some headers.
    """
    limit = max(1_048_576, settings.max_message_bytes + 65_536)
    given = settings.kafka_config
    return (
        {"linger.ms": 5, "delivery.timeout.ms": 30_000}
        | _shared(settings)
        | {
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": limit,
        }
        | ({"delivery.timeout.ms": given["message.timeout.ms"]} if "message.timeout.ms" in given else {})
    )


def notices_config(settings: WorkerSettings) -> dict[str, Any]:
    """For progress: little memory, little patience, and one broker's word is enough."""
    return _shared(settings) | {
        "acks": "1",
        "enable.idempotence": False,
        "partitioner": "murmur2_random",
        "linger.ms": 50,
        "message.timeout.ms": 10_000,
        "queue.buffering.max.messages": 10_000,
        "queue.buffering.max.kbytes": 16_384,
    }


def admin_config(settings: WorkerSettings) -> dict[str, Any]:
    """For questions about the cluster, and for creating topics."""
    return _shared(settings)
