"""What is asked of the cluster: its topics and their settings, the members of a group."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs hide them
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from langgraph_worker.broker.kafka.client_configs import CLIENT_ID, admin_config
from langgraph_worker.broker.kafka.error_hints import explain, refused_settings
from langgraph_worker.broker.kafka.graphs_topic import POLICY
from langgraph_worker.errors import BrokerError, SettingsError
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.kafka_errors import CREDENTIALS, HOPELESS
from workflow_events.topics import COMPRESSION, DAY_MS, TopicSpec

_TRY_SECONDS = 0.5  # for one try to reach the cluster
_ADMIN_SECONDS = 15.0  # for one request
_MOST_REPLICAS = 3
_TOPIC_ID_PAUSE_SECONDS = 1.0
LONGEST_RETENTION_MS = 36_500 * DAY_MS
"""A hundred years: longer is for ever, and no clock can add it."""
DEFAULT_RETENTION = timedelta(days=7)
"""Of the fleet's topics, as ``--create-topics`` makes them."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of the cluster.

    :param topics: the names of the topics that this user may see.
    :param replicas: by topic, how many copies its partition with the fewest has.
    :param retention: how long the events topic keeps records.
    :param events_topic_id: which topic of that name it is; empty where the broker has no ids of topics.
    """

    cluster_id: str
    brokers: int
    topics: frozenset[str]
    retention: timedelta = DEFAULT_RETENTION
    events_topic_id: str = ""
    replicas: Mapping[str, int] = field(default_factory=dict)


class ClusterAdmin:
    """A client whose methods block: call them from a thread."""

    def __init__(self, settings: WorkerSettings) -> None:
        """:raises SettingsError: librdkafka does not take KAFKA_CONFIG."""
        self._servers = settings.kafka_bootstrap_servers
        self._errors: list[KafkaError] = []
        try:
            self._client = AdminClient(admin_config(settings) | {"error_cb": self._errors.append})
        except KafkaException as error:
            raise refused_settings(error) from None

    def describe(self, timeout: float) -> Cluster:
        """Reach the cluster; wait up to ``timeout`` seconds for it.

        :raises BrokerError: it cannot be reached. If it refuses the credentials, this is raised at once.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                found = self._client.list_topics(timeout=min(_TRY_SECONDS, timeout))
            except KafkaException as error:
                self._client.poll(0)
                self._give_up_on_credentials()
                if time.monotonic() >= end:
                    raise BrokerError(explain(self._cause(error.args[0]), self._servers)) from None
            else:
                copies = {
                    name: min(len(partition.replicas) for partition in topic.partitions.values())
                    for name, topic in found.topics.items()
                    if topic.partitions
                }
                names = frozenset(found.topics)
                return Cluster(found.cluster_id or "", len(found.brokers), names, replicas=copies)

    def _give_up_on_credentials(self) -> None:
        for error in self._errors:
            if error.name() in CREDENTIALS:
                raise BrokerError(explain(error, self._servers))

    def _cause(self, fallback: KafkaError) -> KafkaError:
        reported = [error for error in self._errors if error.code() != KafkaError._ALL_BROKERS_DOWN]
        return reported[-1] if reported else fallback

    def missing(self, wanted: Collection[str], cluster: Cluster) -> list[str]:
        """The topics that do not exist, or that this user may not see."""
        return sorted(set(wanted) - cluster.topics)

    def create(self, specs: Sequence[TopicSpec], brokers: int) -> None:
        """Create topics; one that exists already is no error. Returns when the cluster lists them.

        :raises BrokerError: the text names the topic and the reason.
        """
        replicas = min(_MOST_REPLICAS, max(1, brokers))
        new = [NewTopic(spec.name, spec.partitions, replicas, config=spec.config) for spec in specs]
        for name, future in self._client.create_topics(new, operation_timeout=10).items():
            try:
                future.result(_ADMIN_SECONDS)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(f"cannot create topic {name}: {explain(error.args[0], self._servers)}") from None
        end = time.monotonic() + _ADMIN_SECONDS
        names = [spec.name for spec in specs]
        while left := self.missing(names, self.describe(_ADMIN_SECONDS)):
            if time.monotonic() >= end:
                raise BrokerError(f"created topics {', '.join(left)}, but the cluster does not list them yet")

    def members(self, group: str) -> set[str]:
        """The ids of the workers that are in a consumer group now; empty if the cluster does not report them.

        :raises BrokerError: this user has no right to the group.
        """
        try:
            found = self._client.describe_consumer_groups([group])[group].result(_ADMIN_SECONDS)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                raise BrokerError(f"group {group}: {explain(error.args[0], self._servers)}") from None
            return set()
        ids = {member.client_id for member in found.members}
        return {name.removeprefix(CLIENT_ID) for name in ids if name.startswith(CLIENT_ID)}

    def retention(self, topic: str) -> timedelta | None:
        """How long a topic keeps its records, a hundred years at most; None if the broker does not report it."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            found = self._client.describe_configs([resource])[resource].result(_ADMIN_SECONDS)
        except KafkaException:
            return None
        values = {name: str(found[name].value) for name in ("retention.ms", POLICY) if name in found}
        return retention_of(values)

    def topic_id(self, topic: str, within_seconds: float = 0.0) -> str:
        """Which topic of this name it is: one that is created anew has another id. Empty where the broker has none.

        :param within_seconds: how long it asks again.
        :raises BrokerError: the broker does not say.
        """
        end = time.monotonic() + within_seconds
        while True:
            try:
                found = self._client.describe_topics(TopicCollection([topic]))[topic].result(_ADMIN_SECONDS)
            except (KafkaException, TimeoutError) as error:
                is_hopeless = isinstance(error, KafkaException) and error.args[0].name() in HOPELESS
                if time.monotonic() < end and not is_hopeless:
                    time.sleep(_TOPIC_ID_PAUSE_SECONDS)
                    continue
                why = explain(error.args[0], self._servers) if isinstance(error, KafkaException) else "no answer"
                raise BrokerError(f"topic {topic} cannot be described: {why}") from None
            return str(found.topic_id or "")

    def size_limits(self, topics: Collection[str]) -> dict[str, int]:
        """``max.message.bytes`` by topic. Left out where the broker does not report it, or the user lacks the right."""
        found = self._values("max.message.bytes", topics)
        return {name: int(value) for name, value in found.items() if value.isdigit()}

    def compressions(self, topics: Collection[str]) -> dict[str, str]:
        """``compression.type`` by topic. Left out where the broker does not report it, or the user lacks the right."""
        return self._values(COMPRESSION, topics)

    def policies(self, topics: Collection[str]) -> dict[str, str]:
        """``cleanup.policy`` by topic. Left out where the broker does not report it, or the user lacks the right."""
        return self._values(POLICY, topics)

    def least_in_sync(self, topics: Collection[str]) -> dict[str, int]:
        """``min.insync.replicas`` by topic. Left out as in :meth:`size_limits`."""
        found = self._values("min.insync.replicas", topics)
        return {name: int(value) for name, value in found.items() if value.isdigit()}

    def _values(self, setting: str, topics: Collection[str]) -> dict[str, str]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in sorted(topics)]
        values = {}
        for resource, future in self._client.describe_configs(resources).items() if resources else ():
            try:
                entry = future.result(_ADMIN_SECONDS).get(setting)
            except KafkaException:
                continue
            if entry is not None:
                values[str(resource.name)] = str(entry.value)
        return values


def retention_of(values: Mapping[str, str]) -> timedelta | None:
    """A topic's retention by its settings. Below zero is for ever, and so is what is only compacted."""
    text = values.get("retention.ms", "")
    if not text.removeprefix("-").isdigit():
        return None
    is_for_ever = int(text) < 0 or "delete" not in values.get(POLICY, "delete")
    return timedelta(milliseconds=LONGEST_RETENTION_MS if is_for_ever else min(int(text), LONGEST_RETENTION_MS))


def topic_limit(settings: WorkerSettings, topic: str) -> int | None:
    """A topic's ``max.message.bytes``; None if it cannot be read. Blocks for some seconds at most."""
    try:
        return ClusterAdmin(settings).size_limits([topic]).get(topic)
    except (SettingsError, KafkaException):
        return None
