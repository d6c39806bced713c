"""The topic that graphs are announced on: created if possible, looked at, and never needed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from langgraph_worker.errors import BrokerError
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.topics import TopicSpec

if TYPE_CHECKING:
    from langgraph_worker.broker.kafka.admin import Cluster, ClusterAdmin

logger = logging.getLogger(__name__)

POLICY = "cleanup.policy"


def create_topics(admin: ClusterAdmin, absent: Sequence[TopicSpec], cluster: Cluster, settings: WorkerSettings) -> None:
    """Create topics. Without that of the graphs a worker works, so it starts where the broker refuses that one.

    :raises BrokerError: another one cannot be created.
    """
    needed = [spec for spec in absent if spec.name != settings.kafka_workflow_graphs_topic]
    if needed:
        admin.create(needed, cluster.brokers)
    for spec in absent:
        if spec not in needed:
            try:
                admin.create([spec], cluster.brokers)
            except BrokerError as error:
                logger.warning("%s", error, extra={"action": "no_announcements"})


def not_announced(admin: ClusterAdmin, cluster: Cluster, settings: WorkerSettings) -> list[str]:
    """Why Airflow cannot learn which graphs this worker has, or not for ever; with the remedy."""
    topic = settings.kafka_workflow_graphs_topic
    if topic not in cluster.topics:
        if settings.create_topics:
            return []
        return [
            f"no topic {topic}, or this user may not see it: the graphs are not announced, and operators with "
            "check_graph check nothing. Create it (`langgraph-worker run --create-topics` does), or grant this user "
            "WRITE on it"
        ]
    policy = admin.policies([topic]).get(topic, "compact")
    if "compact" in policy:
        return []
    return [
        f"topic {topic} has {POLICY}={policy}: it is read whole for each check, and grows. Run kafka-configs.sh "
        f"--bootstrap-server {settings.kafka_bootstrap_servers} --alter --entity-type topics --entity-name {topic} "
        f"--add-config {POLICY}=[compact,delete]"
    ]
