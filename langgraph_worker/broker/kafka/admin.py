"""What a worker asks the cluster before it starts: whether it answers, has the topics, and takes large results."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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
from langgraph_worker.broker.kafka.graphs_topic import POLICY, create_topics, not_announced
from langgraph_worker.errors import BrokerError, SettingsError
from langgraph_worker.settings.model import WorkerSettings, env_name
from workflow_events.kafka_errors import CREDENTIALS, HOPELESS
from workflow_events.topics import COMPRESSION, DAY_MS, UNCOMPRESSED, TopicSpec

logger = logging.getLogger(__name__)

_TRY_SECONDS = 0.5  # for one try to reach the cluster
_ADMIN_SECONDS = 15.0  # for one request
_MOST_REPLICAS = 3
_TOPIC_ID_SECONDS = 60.0  # a topic that is being created, or a broker that starts
_TOPIC_ID_PAUSE_SECONDS = 1.0
_LONGEST_RETENTION_MS = 36_500 * DAY_MS  # a hundred years: longer is for ever, and no clock can add it
_DEFAULT_RETENTION = timedelta(days=7)  # of the fleet's topics, as --create-topics makes them


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of the cluster.

    :param topics: the names of the topics that this user may see.
    :param retention: how long the events topic keeps records.
    :param events_topic_id: which topic of that name it is; empty where the broker has no ids of topics.
    """

    cluster_id: str
    brokers: int
    topics: frozenset[str]
    retention: timedelta = _DEFAULT_RETENTION
    events_topic_id: str = ""


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
                return Cluster(found.cluster_id or "", len(found.brokers), frozenset(found.topics))

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
        return _retention(values)

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


def _retention(values: Mapping[str, str]) -> timedelta | None:
    """A topic's retention by its settings. Below zero is for ever, and so is what is only compacted."""
    text = values.get("retention.ms", "")
    if not text.removeprefix("-").isdigit():
        return None
    is_for_ever = int(text) < 0 or "delete" not in values.get(POLICY, "delete")
    return timedelta(milliseconds=_LONGEST_RETENTION_MS if is_for_ever else min(int(text), _LONGEST_RETENTION_MS))


def kept_too_short(admin: ClusterAdmin, settings: WorkerSettings, events: timedelta) -> list[str]:
    """What is forgotten while its event can still be read again, each with the remedy.

    :param events: how long the events topic keeps records.
    """
    topic, found = settings.kafka_workflow_events_topic, []
    control = admin.retention(settings.kafka_workflow_control_topic)
    if control is not None and control < events:
        found.append(
            f"topic {settings.kafka_workflow_control_topic} keeps its records for {_in_days(control)}, {topic} for "
            f"{_in_days(events)}: a cancel that no worker has read by then is lost, and its request runs. Give both "
            "topics the same retention.ms"
        )
    if timedelta(days=settings.tombstone_days) < events:
        found.append(
            f"{env_name('tombstone_days')} is {settings.tombstone_days:g}, {topic} keeps its records for "
            f"{_in_days(events)}: a request that was pruned and is read again after that time runs again. Raise the "
            "setting, at most 36500, or lower the topic's retention.ms"
        )
    return found


def compressed(admin: ClusterAdmin, cluster: Cluster, settings: WorkerSettings) -> list[str]:
    """The fleet's topics that take compressed records, each with what that allows and the command that mends it."""
    fleet = {spec.name for spec in settings.topics.specs()} | settings.reply_topics
    return [
        f"topic {name} has {COMPRESSION}={value}: a record of a few kilobytes can become hundreds of megabytes when it "
        "is read, and fill the memory of each reader or be unreadable. Run kafka-configs.sh --bootstrap-server "
        f"{settings.kafka_bootstrap_servers} --alter --entity-type topics --entity-name {name} --add-config "
        f"{COMPRESSION}={UNCOMPRESSED}"
        for name, value in admin.compressions(fleet & cluster.topics).items()
        if value != UNCOMPRESSED
    ]


def _in_days(span: timedelta) -> str:
    if span >= timedelta(milliseconds=_LONGEST_RETENTION_MS):
        return "ever"
    return f"{span / timedelta(days=1):g} days"


def topic_limit(settings: WorkerSettings, topic: str) -> int | None:
    """A topic's ``max.message.bytes``; None if it cannot be read. Blocks for some seconds at most."""
    try:
        return ClusterAdmin(settings).size_limits([topic]).get(topic)
    except (SettingsError, KafkaException):
        return None


def _no_topics(missing: Sequence[str], settings: WorkerSettings) -> str:
    it, topics = ("it", "topic") if len(missing) == 1 else ("them", "topics")
    return (
        f"no {topics} {', '.join(missing)} at {settings.kafka_bootstrap_servers}, or this user may not see {it}. "
        f"Create {it} (`langgraph-worker run --create-topics` does), grant this user the rights on {it}, or correct "
        "LANGGRAPH_WORKER_FLEET or the KAFKA_..._TOPIC setting"
    )


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
