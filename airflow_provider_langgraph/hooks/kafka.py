"""Publish requests to a fleet of workers, over a connection of Airflow's existing type ``kafka``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_langgraph.airflow_compat.provider_hook import build_settings, load_provider_hook
from airflow_provider_langgraph.airflow_compat.single_process import is_dags_test
from airflow_provider_langgraph.kafka.client_settings import checked
from airflow_provider_langgraph.kafka.connection import KafkaConnection, not_defined
from airflow_provider_langgraph.kafka.delivery import Delivered, deliver, require_fits
from airflow_provider_langgraph.kafka.latest_records import latest_records
from airflow_provider_langgraph.kafka.topic_admin import EndOffsets, TopicAdmin
from airflow_provider_langgraph.requests.announced_fleet import read_announcements
from airflow_provider_langgraph.requests.arguments import connection_id
from airflow_provider_langgraph.requests.client import CALL_SECONDS
from airflow_provider_langgraph.requests.topics import FleetArgument, check_fleet, topics_of
from workflow_events import codec
from workflow_events.announcements import Announcement
from workflow_events.control import WorkflowCancelledEvent, WorkflowSupersededEvent
from workflow_events.models import Attempt, WorkflowEvent, WorkflowEventPayload
from workflow_events.topics import Fleet
from workflow_events.unknown_fields import unknown_fields

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

__all__ = ["Delivered", "EndOffsets", "KafkaHook"]


class KafkaHook(BaseHook):
    """Talks to a fleet of workers.

    The connection's extra is a JSON object of librdkafka settings, ``bootstrap.servers`` among them, as for the
    official Kafka provider: SASL, TLS, OAUTHBEARER, Amazon MSK IAM and Google's managed Kafka work the same way.

    :param kafka_config_id: id of the Airflow connection.
    :param fleet: the fleet whose topics the methods use where none is named, as for
        :class:`~airflow_provider_langgraph.operators.langgraph.LangGraphTriggerOperator`: a name, or a mapping of
        ``name``, ``events``, ``results``, ``control``, ``progress`` and ``graphs`` to names; None: the fleet of
        ``[langgraph]``.
    :param timeout: seconds that any one call waits for the broker.
    :raises SettingsError: ``fleet`` or ``kafka_config_id`` is wrong.
    """

    conn_name_attr = "kafka_config_id"
    default_conn_name = "kafka_default"
    conn_type = "kafka"
    hook_name = "Apache Kafka"

    def __init__(
        self,
        kafka_config_id: str = default_conn_name,
        *,
        fleet: FleetArgument = None,
        timeout: float = CALL_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_fleet(fleet)
        self.kafka_config_id = connection_id(kafka_config_id)
        self.fleet = fleet
        self.timeout = timeout
        self._topics: Fleet | None = None
        self._is_abandoned = False

    @property
    def topics(self) -> Fleet:
        """The topics of the hook's fleet; Airflow's configuration is read once, with the first use.

        :raises SettingsError: the configuration of ``[langgraph]`` is wrong.
        """
        if self._topics is None:
            self._topics = topics_of(self.fleet)
        return self._topics

    def abandon(self) -> None:
        """Wait for no delivery report any more, in this call and later ones. Safe in a signal handler."""
        self._is_abandoned = True

    def settings(self) -> dict[str, Any]:
        """The librdkafka settings of the connection, checked, with token callbacks of the cloud providers.

        :raises KafkaSettingsError: a setting is missing, or would break the protocol.
        :raises KafkaError: there is no such connection; says how to make one.
        """
        try:
            connection = self.get_connection(self.kafka_config_id)
        except AirflowNotFoundException as error:
            raise not_defined(self.kafka_config_id) from error
        return self._settings_of(connection)

    async def asettings(self) -> dict[str, Any]:
        """:meth:`settings` for a trigger: does not block the event loop, except in ``airflow dags test``."""
        if is_dags_test():  # has no asynchronous way to Airflow's database
            return self.settings()
        try:
            connection = await self.aget_connection(self.kafka_config_id)
        except AirflowNotFoundException as error:
            raise not_defined(self.kafka_config_id) from error
        await load_provider_hook()
        return self._settings_of(connection)

    def publish(self, event: WorkflowEvent, topic: str | None = None, *, traceparent: str | None = None) -> Delivered:
        """Publish a request and wait for its delivery report.

        When this returns, the request is durable on every in-sync replica. Publishing the same event again is safe:
        it is the same request.

        :param topic: the fleet's events topic if None.
        :param traceparent: the W3C trace context of what asks, for the message's header.
        :raises PublishError: not acknowledged; says why, and names broker and topic. Nothing is known to be lost: the
            broker may still have it.
        :raises MessageRefusedError: the broker takes no message of this size.
        :raises workflow_events.MessageTooLargeError: the event does not fit; nothing was sent.
        """
        delivered = self._send(event, topic or self.topics.events, f"request {event.event_id}", traceparent)
        self.log.info(
            "Published request %s to %s[%d]@%d",
            event.event_id,
            delivered.topic,
            delivered.partition,
            delivered.offset,
            extra={"action": "published"},
        )
        return delivered

    def require_fits(
        self, events: Mapping[str, WorkflowEvent], topic: str | None = None, *, traceparent: str | None = None
    ) -> None:
        """Check that :meth:`publish` can send events, without asking the broker.

        :param events: by what their author calls their input.
        :param topic: the fleet's events topic if None.
        :raises SettingsError: one is larger than the connection allows, or has no JSON form.
        """
        require_fits(events, topic or self.topics.events, self._connection(), traceparent)

    def announce(self, attempt: Attempt, topic: str | None = None) -> Delivered:
        """Announce a newer attempt of a task on the control topic, so that its older runs end even if the fleet is too
        busy to accept its request.

        :param topic: the fleet's control topic if None.
        :raises KafkaError: as :meth:`publish`; the request itself is not affected.
        """
        message = WorkflowSupersededEvent(attempt=attempt)
        return self._send(message, topic or self.topics.control, f"try {attempt.try_number} of the task")

    def cancel(self, correlation_id: UUID, topic: str | None = None, *, reason: str = "") -> Delivered:
        """End a request, whether its run is still to come, waiting or under way; one that has ended stays as it is.

        :param topic: the fleet's control topic if None.
        :raises KafkaError: as :meth:`publish`; the run goes on, to its deadline at most.
        """
        message = WorkflowCancelledEvent(correlation_id=correlation_id, reason=reason)
        return self._send(message, topic or self.topics.control, f"the cancel of request {correlation_id}")

    def publish_workflow_event(
        self, *, payload: dict[str, Any] | WorkflowEventPayload, topic: str | None = None, **fields: Any
    ) -> WorkflowEvent:
        """Build a :class:`~workflow_events.WorkflowEvent` from its fields, :meth:`publish` it and return it.

        A field that events do not have is left out, and a warning names it.

        :param topic: the fleet's events topic if None.
        """
        body = {"payload": payload, **fields}
        event = WorkflowEvent.model_validate(body)
        for field in unknown_fields(WorkflowEvent, body):
            self.log.warning("An event is published without what it should have: %s", field)
        self.publish(event, topic)
        return event

    def end_offsets(self, topic: str | None = None) -> EndOffsets:
        """The end offsets of a topic: what is published from now on lies at or after them.

        :param topic: the fleet's results topic if None.
        :raises KafkaError: the broker or the topic cannot be reached; says why.
        """
        return self._admin().end_offsets(topic or self.topics.results)

    def require_topics(self, *topics: str) -> None:
        """Make sure that topics exist, without creating any by asking.

        :raises KafkaError: the broker cannot be reached, or a topic is missing: names it and the remedy.
        """
        admin = self._admin()
        for topic in topics:
            admin.require(topic)

    def announcements(self, topic: str | None = None) -> list[Announcement]:
        """What workers have announced on the graphs topic, read to its end: themselves, and what their graphs take.

        :param topic: the fleet's graphs topic if None.
        :raises KafkaError: the topic is missing, or was not read to its end within the hook's timeout; says why.
        """
        return read_announcements(latest_records(self._connection(), topic or self.topics.graphs).values())

    def ensure_topics(self, fleet: Fleet | None = None) -> list[str]:
        """Create the missing topics of a fleet with their defaults; return the names of those created.

        :param fleet: the hook's fleet if None.
        :raises KafkaError: the broker cannot be reached, or refuses; says why.
        """
        return self._admin().create((fleet or self.topics).specs())

    def test_connection(self) -> tuple[bool, str]:
        """Whether the broker answers, and why not.

        ``airflow connections test`` and the UI ask the official provider's hook, which owns the connection type.
        """
        try:
            admin = self._admin()
            brokers = admin.count_brokers()
        except Exception as error:  # noqa: BLE001 - the form shows any error
            return False, str(error)
        return True, f"Connected to cluster {admin.cluster or '(unnamed)'}, {brokers} broker(s)"

    def _settings_of(self, connection: Connection) -> dict[str, Any]:
        checked(connection.extra_dejson, self.kafka_config_id)
        return checked(build_settings(connection, self.kafka_config_id), self.kafka_config_id)

    def _connection(self) -> KafkaConnection:
        return KafkaConnection(self.kafka_config_id, self.settings(), self.timeout)

    def _admin(self) -> TopicAdmin:
        return TopicAdmin(self._connection())

    def _send(self, message: codec.Message, topic: str, what: str, traceparent: str | None = None) -> Delivered:
        return deliver(message, topic, what, self._connection(), lambda: self._is_abandoned, traceparent)
