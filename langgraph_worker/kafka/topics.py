"""What a worker asks the cluster before it starts: whether it answers, has the topics, and takes our messages."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs hide them
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from langgraph_worker.errors import BrokerError
from langgraph_worker.kafka.config import CLIENT_ID, admin_config
from langgraph_worker.kafka.trouble import CREDENTIALS, explain, refused_settings
from langgraph_worker.settings import WorkerSettings
from workflow_events.topics import DAY_MS, Fleet, TopicSpec

_STEP = 0.5  # seconds of one attempt to reach the cluster
_ADMIN_TIMEOUT = 15.0
_MOST_REPLICAS = 3
_LONGEST = 36_500 * DAY_MS
_UNKNOWN_RETENTION = timedelta(days=7)  # as the fleet's topics are created


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the cluster said.

    :param topics: the names that this user may see.
    :param retention: how long the events topic keeps records.
    """

    cluster_id: str
    brokers: int
    topics: frozenset[str]
    retention: timedelta = _UNKNOWN_RETENTION


class ClusterAdmin:
    """A blocking admin client: call it from a thread."""

    def __init__(self, settings: WorkerSettings) -> None:
        """:raises SettingsError: librdkafka does not take KAFKA_CONFIG."""
        self._servers = settings.kafka_bootstrap_servers
        self._errors: list[KafkaError] = []
        try:
            self._client = AdminClient(admin_config(settings) | {"error_cb": self._errors.append})
        except KafkaException as error:
            raise refused_settings(error) from None

    def describe(self, timeout: float) -> Cluster:
        """Reach the cluster, waiting up to ``timeout`` seconds for it.

        :raises BrokerError: it cannot be reached, or refuses the credentials (then at once).
        """
        end = time.monotonic() + timeout
        while True:
            try:
                found = self._client.list_topics(timeout=min(_STEP, timeout))
            except KafkaException as error:
                self._client.poll(0)
                self._give_up_on_credentials()
                if time.monotonic() >= end:
                    raise BrokerError(explain(self._cause(error.args[0]), self._servers)) from None
            else:
                return Cluster(found.cluster_id or "", len(found.brokers), frozenset(found.topics))

    def _give_up_on_credentials(self) -> None:
        for error in self._errors:
            if error.code() in CREDENTIALS:
                raise BrokerError(explain(error, self._servers))

    def _cause(self, fallback: KafkaError) -> KafkaError:
        telling = [error for error in self._errors if error.code() != KafkaError._ALL_BROKERS_DOWN]
        return telling[-1] if telling else fallback

    def missing(self, wanted: Collection[str], cluster: Cluster) -> list[str]:
        """The names that are not there, or that this user may not see."""
        return sorted(set(wanted) - cluster.topics)

    def create(self, specs: Sequence[TopicSpec], brokers: int) -> None:
        """Create topics; one that exists by now is fine. Returns when the cluster lists them.

        :raises BrokerError: names the topic and the reason.
        """
        replicas = min(_MOST_REPLICAS, max(1, brokers))
        new = [NewTopic(spec.name, spec.partitions, replicas, config=spec.config) for spec in specs]
        for name, future in self._client.create_topics(new, operation_timeout=10).items():
            try:
                future.result(_ADMIN_TIMEOUT)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(f"cannot create topic {name}: {explain(error.args[0], self._servers)}") from None
        end = time.monotonic() + _ADMIN_TIMEOUT
        names = [spec.name for spec in specs]
        while left := self.missing(names, self.describe(_ADMIN_TIMEOUT)):
            if time.monotonic() >= end:
                raise BrokerError(f"created topics {', '.join(left)}, but the cluster does not list them yet")

    def members(self, group: str) -> set[str]:
        """The ids of the workers that are in a consumer group now; empty if the cluster does not tell.

        :raises BrokerError: this user has no right to the group.
        """
        try:
            found = self._client.describe_consumer_groups([group])[group].result(_ADMIN_TIMEOUT)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                raise BrokerError(f"group {group}: {explain(error.args[0], self._servers)}") from None
            return set()
        ids = {member.client_id for member in found.members}
        return {name.removeprefix(CLIENT_ID) for name in ids if name.startswith(CLIENT_ID)}

    def retention(self, topic: str) -> timedelta | None:
        """How long a topic keeps its records; None if that is for ever, or the broker does not tell."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            entry = self._client.describe_configs([resource])[resource].result(_ADMIN_TIMEOUT).get("retention.ms")
        except KafkaException:
            return None
        text = "" if entry is None else str(entry.value)
        return timedelta(milliseconds=min(int(text), _LONGEST)) if text.isdigit() else None

    def size_limits(self, topics: Collection[str]) -> dict[str, int]:
        """``max.message.bytes`` of each topic that tells: not every broker does, and the user may lack the right."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in sorted(topics)]
        limits = {}
        for resource, future in self._client.describe_configs(resources).items():
            try:
                entry = future.result(_ADMIN_TIMEOUT).get("max.message.bytes")
            except KafkaException:
                continue
            if entry is not None and str(entry.value).isdigit():
                limits[resource.name] = int(entry.value)
        return limits


def preflight(settings: WorkerSettings, timeout: float) -> Cluster:
    """Make sure of cluster and topics before anything is consumed; creates topics if the settings say so.

    :raises BrokerError: names the place and the remedy.
    """
    admin = ClusterAdmin(settings)
    cluster = admin.describe(timeout)
    if settings.create_topics:
        absent = [spec for spec in used_specs(settings.fleet) if spec.name not in cluster.topics]
        if absent:
            admin.create(absent, cluster.brokers)
            cluster = admin.describe(timeout)
    check_topics(admin, cluster, settings)
    retention = admin.retention(settings.kafka_workflow_events_topic)
    return cluster if retention is None else replace(cluster, retention=retention)


def used_specs(fleet: Fleet) -> list[TopicSpec]:
    """The topics of a fleet that this version reads or writes."""
    used = {fleet.events, fleet.results, fleet.progress, fleet.control, fleet.dead_letters}
    return [spec for spec in fleet.specs() if spec.name in used]


def check_topics(admin: ClusterAdmin, cluster: Cluster, settings: WorkerSettings) -> str:
    """The topics that a worker uses, in words.

    :raises BrokerError: one is missing, or takes no message of the size that the settings allow.
    """
    needed = {
        settings.kafka_workflow_events_topic,
        settings.kafka_workflow_control_topic,
        settings.kafka_workflow_dead_letters_topic,
        *settings.reply_topics,
    }
    to_create = {spec.name for spec in used_specs(settings.fleet)} if settings.create_topics else set()
    absent = admin.missing(needed, cluster)
    if missing := [name for name in absent if name not in to_create]:
        raise BrokerError(
            f"no topic {', '.join(missing)} at {settings.kafka_bootstrap_servers}, or this user may not see it. Create "
            "it, start with --create-topics, grant this user its rights, or correct the KAFKA_..._TOPIC setting"
        )
    for name, limit in admin.size_limits(settings.reply_topics & cluster.topics).items():
        if limit < settings.max_message_bytes:
            raise BrokerError(
                f"topic {name} takes messages of up to {limit:,} bytes, LANGGRAPH_WORKER_MAX_MESSAGE_BYTES is "
                f"{settings.max_message_bytes:,}: a result between the two would never arrive. Lower the setting or "
                "raise the topic's max.message.bytes"
            )
    text = ", ".join(sorted(needed))
    return f"{text}; to be created at start: {', '.join(absent)}" if absent else text
