"""librdkafka's configuration of each client: KAFKA_CONFIG, and over it what the protocol needs."""

from __future__ import annotations

import logging
from typing import Any

from langgraph_worker.settings.model import WorkerSettings
from workflow_events.kafka_rules import PARTITIONER, READS_FEW, READS_LITTLE, RECEIVES

CLIENT_ID = "langgraph-worker-"
"""The beginning of every worker's client id; the worker's id follows."""

LIBRDKAFKA_LOGGER = "librdkafka"

_FRAMING_BYTES = 65_536  # of a batch, beside its largest message
_RECEIVES_BY_DEFAULT = 100_000_000
_RECEIVES_AT_MOST = 2_147_483_647


def _shared(settings: WorkerSettings) -> dict[str, Any]:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value for name, value in settings.kafka_config.items()
    }
    return given | {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": given.get("client.id", CLIENT_ID + settings.worker_id),
        # error_cb gets the errors too; librdkafka's own lines repeat them many times a second.
        "logger": logging.getLogger(LIBRDKAFKA_LOGGER),
    }


def consumer_config(settings: WorkerSettings) -> dict[str, Any]:
    """For the consumer of the events topic.

    It reads little ahead, and little of each partition at a time: what is read waits in one queue for all partitions,
    and a flood in one partition must not delay the others. Where enough is there, it looks again in five milliseconds:
    with the client's default, a second, it read 250 small events per second, and a sender of a hundred thousand that
    are refused held up all others for minutes.
    """
    config = (
        {"queued.min.messages": 10, "fetch.queue.backoff.ms": 5, **READS_LITTLE}
        | _shared(settings)
        | _unpacks(settings)
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


def _unpacks(settings: WorkerSettings) -> dict[str, int]:
    """What the client needs to unpack every event that the worker takes; nothing where its default is enough."""
    given = settings.kafka_config
    needed = 3 * settings.max_message_bytes + _FRAMING_BYTES
    if RECEIVES in given or needed <= _RECEIVES_BY_DEFAULT:
        return {}
    return {RECEIVES: min(max(needed, int(given.get("fetch.max.bytes", 0)) + 512), _RECEIVES_AT_MOST)}


def control_config(settings: WorkerSettings) -> dict[str, Any]:
    """For the reader of the control topic, which joins no group and commits nothing. librdkafka requires a group, so it
    gets one that the worker has the right to use.
    """
    ours = {
        "group.id": settings.kafka_consumer_group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "queued.max.messages.kbytes": 4_096,
    }
    return {**READS_LITTLE, **READS_FEW} | _shared(settings) | _unpacks(settings) | ours


def lag_config(settings: WorkerSettings) -> dict[str, Any]:
    """For a consumer that reads no record: it asks for offsets, the group's and the topic's."""
    return _shared(settings) | {"group.id": settings.kafka_consumer_group_id, "enable.auto.commit": False}


def producer_config(settings: WorkerSettings) -> dict[str, Any]:
    """For results and dead letters.

    The client's limit is above the worker's: a result at the worker's limit must fit with its framing, and so must most
    dead letters, which are an event and some headers.
    """
    limit = max(1_048_576, settings.max_message_bytes + _FRAMING_BYTES)
    given = settings.kafka_config
    return (
        {"linger.ms": 5, "delivery.timeout.ms": 30_000}
        | _shared(settings)
        | {
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": PARTITIONER,
            "message.max.bytes": limit,
        }
        | ({"delivery.timeout.ms": given["message.timeout.ms"]} if "message.timeout.ms" in given else {})
    )


def best_effort_config(settings: WorkerSettings) -> dict[str, Any]:
    """For messages that may be lost: little memory, short waits, and the leader's acknowledgement is enough."""
    return _shared(settings) | {
        "acks": "1",
        "enable.idempotence": False,
        "partitioner": PARTITIONER,
        "linger.ms": 50,
        "message.timeout.ms": 10_000,
        "queue.buffering.max.messages": 10_000,
        "queue.buffering.max.kbytes": 16_384,
    }


def admin_config(settings: WorkerSettings) -> dict[str, Any]:
    """For questions about the cluster, and for creating topics."""
    return _shared(settings)
