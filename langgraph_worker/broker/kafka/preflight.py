"""Whether a worker can start on a cluster: it answers, has the topics, and takes large results."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from langgraph_worker.broker.kafka.admin import Cluster, ClusterAdmin
from langgraph_worker.broker.kafka.graphs_topic import create_topics, not_announced
from langgraph_worker.broker.kafka.topic_risks import compressed, kept_too_short
from langgraph_worker.errors import BrokerError
from langgraph_worker.settings.model import WorkerSettings

logger = logging.getLogger(__name__)

_TOPIC_ID_SECONDS = 60.0  # a topic that is being created, or a broker that starts


def preflight(settings: WorkerSettings, timeout: float) -> Cluster:
    """Check cluster and topics before anything is consumed. Creates topics if the settings say so.

    :raises BrokerError: the text names what is missing and the remedy.
    """
    admin = ClusterAdmin(settings)
    cluster = admin.describe(timeout)
    if settings.create_topics:
        absent = [spec for spec in settings.topics.specs() if spec.name not in cluster.topics]
        if absent:
            create_topics(admin, absent, cluster, settings)
            cluster = admin.describe(timeout)
    check_topics(admin, cluster, settings)
    for problem in compressed(admin, cluster, settings):
        logger.warning("%s", problem, extra={"action": "compressed"})
    for problem in not_announced(admin, cluster, settings):
        logger.warning("%s", problem, extra={"action": "no_announcements"})
    cluster = replace(cluster, events_topic_id=admin.topic_id(settings.kafka_workflow_events_topic, _TOPIC_ID_SECONDS))
    retention = admin.retention(settings.kafka_workflow_events_topic)
    if retention is None:
        return cluster
    for problem in kept_too_short(admin, settings, retention):
        logger.warning("%s", problem, extra={"action": "kept_too_short"})
    return replace(cluster, retention=retention)


def check_topics(admin: ClusterAdmin, cluster: Cluster, settings: WorkerSettings) -> str:
    """Check the topics that a worker uses, and return them in words.

    :raises BrokerError: a topic is missing, or does not take messages of the size that the settings allow.
    """
    needed = {
        settings.kafka_workflow_events_topic,
        settings.kafka_workflow_control_topic,
        settings.kafka_workflow_dead_letters_topic,
        *settings.reply_topics,
    }
    to_create = {spec.name for spec in settings.topics.specs()} if settings.create_topics else set()
    absent = admin.missing(needed, cluster)
    if missing := [name for name in absent if name not in to_create]:
        raise BrokerError(_no_topics(missing, settings))
    for name, limit in admin.size_limits(settings.reply_topics & cluster.topics).items():
        if limit < settings.max_message_bytes:
            raise BrokerError(
                f"topic {name} takes messages of up to {limit:,} bytes, LANGGRAPH_WORKER_MAX_MESSAGE_BYTES is "
                f"{settings.max_message_bytes:,}: a result between the two would never arrive. Lower the setting or "
                "raise the topic's max.message.bytes"
            )
    text = ", ".join(sorted(needed))
    return f"{text}; to be created at start: {', '.join(absent)}" if absent else text


def _no_topics(missing: Sequence[str], settings: WorkerSettings) -> str:
    it, topics = ("it", "topic") if len(missing) == 1 else ("them", "topics")
    return (
        f"no {topics} {', '.join(missing)} at {settings.kafka_bootstrap_servers}, or this user may not see {it}. "
        f"Create {it} (`langgraph-worker run --create-topics` does), grant this user the rights on {it}, or correct "
        "LANGGRAPH_WORKER_FLEET or the KAFKA_..._TOPIC setting"
    )
