"""Publish requests to a fleet of workers, over a connection of Airflow's existing type ``kafka``."""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_langgraph.exceptions import (
    KafkaError,
    KafkaSettingsError,
    MessageRefusedError,
    PublishError,
)
from airflow_provider_langgraph.hooks.broker_errors import BrokerErrors, explain, with_errors
from airflow_provider_langgraph.hooks.settings import checked, producer_settings
from workflow_events import codec
from workflow_events.control import WorkflowCancelledEvent, WorkflowSupersededEvent
from workflow_events.models import Attempt, WorkflowEvent, WorkflowEventPayload
from workflow_events.topics import Fleet

if TYPE_CHECKING:
    from concurrent.futures import Future

    from airflow.providers.common.compat.sdk import Connection
    from confluent_kafka import KafkaError as ClientError
    from confluent_kafka import Message
    from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined]

# confluent-kafka is imported where it is used: a DAG file that imports the operator must not load it.

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 30.0

# A topic that was just created, or whose broker restarts; confluent-kafka does not mark these as retriable everywhere.
_PASSING = frozenset(
    {
        "NOT_LEADER_FOR_PARTITION",
        "LEADER_NOT_AVAILABLE",
        "UNKNOWN_LEADER_EPOCH",  # the broker has not heard of its newest leader yet
        "FENCED_LEADER_EPOCH",
        "OFFSET_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
    }
)
_NEW_TOPIC = _PASSING | {"UNKNOWN_TOPIC_OR_PART"}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where the broker has put a message; it is safe there on every in-sync replica."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class EndOffsets:
    """The next offset of every partition of a topic at one moment.

    :param cluster: id of the Kafka cluster; empty where the broker has none.
    :param topic_id: id of the topic: another one of the same name has another. Empty where the broker has none.
    """

    cluster: str
    offsets: dict[int, int]
    topic_id: str = ""


class KafkaHook(BaseHook):
    """Talks to a fleet of workers.

    The connection's extra is a JSON object of librdkafka settings, ``bootstrap.servers`` among them, as for the
    official Kafka provider: SASL, TLS, OAUTHBEARER, Amazon MSK IAM and Google's managed Kafka work the same way.

    :param kafka_config_id: id of the Airflow connection.
    :param timeout: seconds that any one call waits for the broker.
    """

    conn_name_attr = "kafka_config_id"
    default_conn_name = "kafka_default"
    conn_type = "kafka"
    hook_name = "Apache Kafka"

    def __init__(
        self, kafka_config_id: str = default_conn_name, *, timeout: float = DEFAULT_TIMEOUT, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.kafka_config_id = kafka_config_id
        self.timeout = timeout
        self._is_abandoned = False

    def abandon(self) -> None:
        """Wait for no delivery report any more, in this call and later ones. Safe in a signal handler."""
        self._is_abandoned = True

    def settings(self) -> dict[str, Any]:
        """The librdkafka settings of the connection, checked, with token callbacks of the cloud providers.

        :raises KafkaSettingsError: a setting is missing, or would break the protocol.
        """
        return self._settings_of(self.get_connection(self.kafka_config_id))

    async def asettings(self) -> dict[str, Any]:
        """:meth:`settings` for a trigger: does not block the event loop."""
        connection = await self.aget_connection(self.kafka_config_id)
        # The import takes seconds. The rest must not be done in another thread: what masks a connection's secrets talks
        # to Airflow's supervisor, and in Airflow before 3.2.2 that ends the triggerer.
        await asyncio.to_thread(importlib.import_module, "airflow.providers.apache.kafka.hooks.base")
        return self._settings_of(connection)

    def publish(self, event: WorkflowEvent, topic: str = Fleet().events) -> Delivered:
        """Publish a request and wait for its delivery report.

        When this returns, the request is durable on every in-sync replica. Publishing the same event again is safe:
        it is the same request.

        :raises PublishError: not acknowledged; says why, and names broker and topic. Nothing is known to be lost: the
            broker may still have it.
        :raises MessageRefusedError: the broker takes no message of this size.
        :raises workflow_events.MessageTooLargeError: the event does not fit; nothing was sent.
        """
        delivered = self._send(event, topic, f"request {event.event_id}")
        self.log.info(
            "Published request %s to %s[%d]@%d",
            event.event_id,
            delivered.topic,
            delivered.partition,
            delivered.offset,
            extra={"action": "published"},
        )
        return delivered

    def announce(self, attempt: Attempt, topic: str = Fleet().control) -> Delivered:
        """Say on the control topic that a newer attempt of a task exists, so that its older runs end although the fleet
        is too busy to take its request in.

        :raises KafkaError: as :meth:`publish`; the request itself is not affected.
        """
        return self._send(WorkflowSupersededEvent(attempt=attempt), topic, f"try {attempt.try_number} of the task")

    def cancel(self, correlation_id: UUID, topic: str = Fleet().control, *, reason: str = "") -> Delivered:
        """End a request, whether its run is still to come, waiting or under way; one that has ended stays as it is.

        :raises KafkaError: as :meth:`publish`; the run goes on, to its deadline at most.
        """
        message = WorkflowCancelledEvent(correlation_id=correlation_id, reason=reason)
        return self._send(message, topic, f"the cancel of request {correlation_id}")

    def _send(self, message: codec.Message, topic: str, what: str) -> Delivered:
        from confluent_kafka import KafkaException, Producer

        settings, errors = with_errors(producer_settings(self.settings()))
        limit = int(settings.get("message.max.bytes", codec.DEFAULT_MAX_BYTES))
        encoded = codec.encode(message, max_bytes=limit)
        reports: list[tuple[ClientError | None, Delivered | None]] = []
        try:
            # The report is what counts, so librdkafka gives up when we do, not minutes later.
            producer = Producer(settings | {"message.timeout.ms": int(self.timeout * 1000)}, logger=log)
            producer.produce(
                topic,
                value=encoded.value,
                key=encoded.key,
                headers=list(encoded.headers),
                on_delivery=lambda error, report: reports.append(
                    (error, _delivered(report) if error is None else None)
                ),
            )
            self._await_report(producer, reports, errors)
        except KafkaException as error:  # fatal ones, too, come from whatever call serves the client
            raise self._publish_error(what, topic, errors.explain(error.args[0])) from error
        failed, delivered = reports[0] if reports else (None, None)
        if failed is not None and failed.name() == "MSG_SIZE_TOO_LARGE":
            raise MessageRefusedError(self._cannot(f"publish {what} to {topic}", explain(failed)))
        if delivered is None:
            raise self._publish_error(what, topic, errors.explain(failed))
        return delivered

    def publish_workflow_event(
        self, *, payload: dict[str, Any] | WorkflowEventPayload, topic: str = Fleet().events, **fields: Any
    ) -> WorkflowEvent:
        """Build a :class:`~workflow_events.WorkflowEvent` from its fields, :meth:`publish` it and return it."""
        event = WorkflowEvent.model_validate({"payload": payload, **fields})
        self.publish(event, topic)
        return event

    def end_offsets(self, topic: str) -> EndOffsets:
        """The end offsets of a topic: whatever is published from now on lies at or after them.

        :raises KafkaError: the broker or the topic cannot be reached; says why.
        """
        admin, cluster = self._connect()
        found = self._topic(admin, topic)
        numbers = [partition.id for partition in found.partitions]
        offsets = self._patiently(lambda: self._latest(admin, topic, numbers), f"read {topic}")
        return EndOffsets(cluster, offsets, str(found.topic_id or ""))

    def require_topics(self, *topics: str) -> None:
        """Make sure that topics exist, without creating any by asking.

        :raises KafkaError: the broker cannot be reached, or a topic is missing: names it and the remedy.
        """
        admin, _cluster = self._connect()
        for topic in topics:
            self._topic(admin, topic)

    def ensure_topics(self, fleet: Fleet | None = None) -> list[str]:
        """Create the fleet's missing topics with their defaults; return the names of those created.

        :raises KafkaError: the broker cannot be reached, or refuses; says why.
        """
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

        admin, _cluster = self._connect()
        created = []
        new = [NewTopic(spec.name, spec.partitions, config=spec.config) for spec in (fleet or Fleet()).specs()]
        for name, future in admin.create_topics(new, request_timeout=self.timeout).items():
            try:
                future.result()
                created.append(name)
            except KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    raise KafkaError(self._cannot(f"create topic {name}", explain(error.args[0]))) from error
        for name in created:
            # The controller has it; for a moment the broker that we ask may not.
            self._patiently(partial(self._described, admin, name), f"use topic {name}", _NEW_TOPIC)
        return created

    def test_connection(self) -> tuple[bool, str]:
        """Whether the broker answers, and why not.

        ``airflow connections test`` and the UI ask the official provider's hook, which owns the connection type.
        """
        try:
            admin, cluster = self._connect()
            brokers = len(admin.list_topics(timeout=self.timeout).brokers)
        except Exception as error:  # noqa: BLE001 - the form shows whatever it is
            return False, str(error)
        return True, f"Connected to cluster {cluster or '(unnamed)'}, {brokers} broker(s)"

    def _settings_of(self, connection: Connection) -> dict[str, Any]:
        # The official hook knows the callbacks of the cloud providers and guards those that the extra names. It takes
        # seconds to import, and reads the connection itself, which in a trigger must not be done synchronously.
        from airflow.providers.apache.kafka.hooks.base import KafkaBaseHook

        class Official(KafkaBaseHook):
            @classmethod
            def get_connection(cls, conn_id: str) -> Connection:
                return connection

        checked(connection.extra_dejson, self.kafka_config_id)
        return checked(Official(self.kafka_config_id)._build_config(), self.kafka_config_id)  # type: ignore[no-untyped-call]

    def _connect(self) -> tuple[AdminClient, str]:
        """A client that has reached the cluster, and the cluster's id."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        settings, errors = with_errors(self.settings())
        began = time.monotonic()
        try:
            admin = AdminClient(settings, logger=log)
            while True:
                try:
                    # Short tries: why a broker cannot be reached is told to error_cb, which only poll() serves.
                    cluster = admin.describe_cluster(request_timeout=min(self.timeout, 1.0)).result()
                except KafkaException:
                    admin.poll(0)
                    if errors.refused or time.monotonic() - began >= self.timeout:
                        raise
                else:
                    return admin, cluster.cluster_id or ""
        except KafkaException as error:
            if error.args[0].name() == "_INVALID_ARG":
                raise KafkaSettingsError(
                    self._cannot("use the settings in its extra", explain(error.args[0]))
                ) from error
            servers = settings["bootstrap.servers"]
            raise KafkaError(self._cannot(f"reach {servers}", errors.explain(error.args[0]))) from error

    def _topic(self, admin: AdminClient, topic: str) -> TopicDescription:
        return self._patiently(lambda: self._described(admin, topic), f"use topic {topic}")

    def _described(self, admin: AdminClient, topic: str) -> TopicDescription:
        from confluent_kafka import TopicCollection

        found: dict[str, Future[TopicDescription]] = admin.describe_topics(
            TopicCollection([topic]), request_timeout=self.timeout
        )
        return found[topic].result()

    def _latest(self, admin: AdminClient, topic: str, numbers: list[int]) -> dict[int, int]:
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

        wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}
        found = admin.list_offsets(wanted, request_timeout=self.timeout)
        return {place.partition: future.result().offset for place, future in found.items()}

    def _patiently(self, call: Callable[[], _T], what: str, passing: frozenset[str] = _PASSING) -> _T:
        """Repeat a call while the broker says that it may work in a moment: a partition has no leader just now."""
        from confluent_kafka import KafkaException

        ends = time.monotonic() + self.timeout
        while True:
            try:
                return call()
            except KafkaException as error:
                if error.args[0].name() not in passing or time.monotonic() >= ends:
                    raise KafkaError(self._cannot(what, explain(error.args[0]))) from error
                time.sleep(0.1)

    def _await_report(self, producer: Any, reports: list[Any], errors: BrokerErrors) -> None:
        # librdkafka keeps trying a refused login until the message times out; nobody gains by waiting that long.
        ends = time.monotonic() + self.timeout + 1
        while not reports and time.monotonic() < ends and not errors.refused and not self._is_abandoned:
            # Not flush(), which goes on to call back while a fatal error is on its way to us: that ends in SystemError.
            producer.poll(0.25)

    def _publish_error(self, what: str, topic: str, why: str) -> PublishError:
        return PublishError(self._cannot(f"publish {what} to {topic}", why))

    def _cannot(self, what: str, why: str) -> str:
        return f"Kafka connection {self.kafka_config_id!r}: cannot {what}: {why}"


def _delivered(report: Message) -> Delivered:
    return Delivered(report.topic() or "", report.partition() or 0, report.offset() or 0)
