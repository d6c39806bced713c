"""A fleet on a broker that allows nothing unasked, and who may do what there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.requests.handle import RequestHandle
from devtools.apache_kafka import ApacheKafka
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from tests.support.worker import PLAIN, SECONDS, Desk
from workflow_events import WorkflowEvent

TOPICS = ("events", "results", "progress", "control", "dead_letters", "graphs")
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


class Right(NamedTuple):
    """:ivar place: a topic, as ``Fleet`` calls it, or ``group``."""

    who: str
    operation: str
    place: str


def guarded_kafka(*users: str) -> ApacheKafka:
    """A broker, not started, of these users and no rights. Its first listener is the administrator's."""
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS",
    }
    return ApacheKafka(users={user: _password(user) for user in users}, settings=settings)


def client_of(broker: ApacheKafka, user: str) -> dict[str, str]:
    """librdkafka settings of a user."""
    return broker.sasl | {"sasl.username": user, "sasl.password": _password(user)}


def worker_variables(broker: ApacheKafka, user: str) -> dict[str, str]:
    """How a worker is told to be this user."""
    config = client_of(broker, user)
    return {"KAFKA_BOOTSTRAP_SERVERS": config.pop("bootstrap.servers"), "KAFKA_CONFIG": json.dumps(config)}


def _password(user: str) -> str:
    return f"secret-of-{user}"


class Guarded:
    """The desk's fleet as its administrator sees it, and as others do."""

    def __init__(self, broker: ApacheKafka, desk: Desk) -> None:
        self.broker = broker
        self.desk = desk
        self.fleet = desk.kafka.fleet
        self._admin = desk.kafka.admin

    def name(self, place: str) -> str:
        """What the broker calls it."""
        return self.desk.group if place == "group" else str(getattr(self.fleet, place, place))

    def grant(self, right: Right) -> None:
        """Effective when this returns."""
        binding = AclBinding(*self._fields(right))
        self._admin.create_acls([binding])[binding].result(SECONDS)
        self._wait_for(right, there=True)

    def revoke(self, right: Right) -> None:
        """Effective when this returns."""
        gone = AclBindingFilter(*self._fields(right))
        self._admin.delete_acls([gone])[gone].result(SECONDS)
        self._wait_for(right, there=False)

    @contextmanager
    def without(self, right: Right) -> Iterator[None]:
        """Take a right away for a while."""
        self.revoke(right)
        try:
            yield
        finally:
            self.grant(right)

    def _wait_for(self, right: Right, *, there: bool) -> None:
        """The controller has it; the broker, which is asked here, may hear of it a moment later."""
        while bool(self._admin.describe_acls(AclBindingFilter(*self._fields(right))).result(SECONDS)) is not there:
            pass

    def _fields(self, right: Right) -> tuple[Any, ...]:
        kind = ResourceType.GROUP if right.place == "group" else ResourceType.TOPIC
        place = (kind, self.name(right.place), ResourcePatternType.LITERAL)
        return *place, f"User:{right.who}", "*", OPERATIONS[right.operation], AclPermissionType.ALLOW

    def worker_settings(self, user: str, **more: str) -> WorkerSettings:
        """Of a worker that is this user."""
        client = {name.lower(): value for name, value in worker_variables(self.broker, user).items()}
        return load_settings({"fleet": self.desk.kafka.prefix} | client | more)

    def event(self, **fields: Any) -> WorkflowEvent:
        """A request."""
        return WorkflowEvent.model_validate(PLAIN | fields)

    def ask(self, graph: str, data: dict[str, Any]) -> RequestHandle:
        """Publish a request over Airflow's connection, as the operator does."""
        hook, correlation_id = KafkaHook(), uuid4()
        hook.require_topics(self.fleet.events)
        ends = hook.end_offsets(self.fleet.results)
        asked_at = datetime.now(UTC)
        hook.publish(self.event(event_id=correlation_id, graph=graph, payload={"data": data}), self.fleet.events)
        return RequestHandle(
            correlation_id=correlation_id,
            workflow_id="d",
            workflow_run_id="r",
            kafka_config_id="kafka_default",
            events_topic=self.fleet.events,
            results_topic=self.fleet.results,
            cluster=ends.cluster,
            results_topic_id=ends.topic_id,
            start_offsets=ends.offsets,
            deadline=asked_at + timedelta(seconds=40),
            control_topic=self.fleet.control,
            progress_topic=self.fleet.progress,
            asked_at=asked_at,
        )
