"""A task that asks an agent, without Airflow's database and without Kafka: its context, its hook, its replies."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

from airflow_provider_langgraph.exceptions import KafkaError
from airflow_provider_langgraph.kafka.connection import KafkaConnection
from airflow_provider_langgraph.kafka.delivery import require_fits
from airflow_provider_langgraph.requests.reply import reply_of
from airflow_provider_langgraph.requests.topics import topics_of
from workflow_events import WorkflowResultEvent
from workflow_events.codec import Record, encode
from workflow_events.identity import correlation_id

TI_ID = UUID("019a0000-0000-7000-8000-000000000001")
NOW = datetime.now(UTC)


class Hook:
    """A hook that only takes note.

    :ivar made: the arguments with which hooks were made.
    :ivar events: what was published.
    :ivar traceparents: the trace context of each of them.
    """

    kafka_config_id = "kafka_default"

    def __init__(self, missing=()):
        self.missing = missing
        self.calls = []
        self.made = []
        self.events = []
        self.traceparents = []

    def make(self, kafka_config_id, **options):
        self.made.append({"kafka_config_id": kafka_config_id, **options})
        self.topics = topics_of(options["fleet"])
        return self

    def require_topics(self, *topics):
        if set(topics) & set(self.missing):
            raise KafkaError(f"no topic {topics}")

    def end_offsets(self, topic):
        return SimpleNamespace(cluster="c", offsets={0: 7}, topic_id="t")

    def require_fits(self, events, topic, *, traceparent=None):
        require_fits(events, topic, KafkaConnection(self.kafka_config_id, {}, 30), traceparent)

    def publish(self, event, topic, *, traceparent=None):
        self.events.append(event)
        self.traceparents.append(traceparent)
        self.calls.append((topic, event.attempt.try_number))

    def announce(self, task_identity, topic):
        self.calls.append((topic, task_identity.try_number))

    def abandon(self):
        pass

    def cancel(self, request, topic, *, reason):
        self.require_topics(topic)
        self.calls.append((topic, request))


class StateStore(dict):
    def set(self, key, value, *, retention):
        self[key] = value


def context(**fields):
    ti = SimpleNamespace(
        **{
            "id": TI_ID,
            "dag_id": "report",
            "run_id": "run_1",
            "task_id": "agent",
            "map_index": -1,
            "try_number": 1,
            "max_tries": 2,
            "start_date": NOW,
        }
        | fields
    )
    return {"ti": ti, "dag_run": SimpleNamespace(start_date=NOW), "task_state_store": StateStore()}


def fired(status, **fields):
    return packed(reply(status, **fields))


def packed(result):
    message = encode(result)
    return reply_of(Record("results", 0, 7, message.value, message.headers), str(result.correlation_id))


def reply(status, **fields):
    return WorkflowResultEvent(
        correlation_id=correlation_id(TI_ID),
        workflow_id="report",
        workflow_run_id="run_1",
        status=status,
        result={"answer": 42} if status == "success" else None,
        **fields,
    )
