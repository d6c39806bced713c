"""Which topics the hook's methods use; what they do there, with a real Kafka: tests/integration/test_kafka_hook.py."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection
from airflow.sdk.execution_time import task_runner

from airflow_provider_langgraph.exceptions import KafkaError, SettingsError
from airflow_provider_langgraph.hooks import kafka as module
from airflow_provider_langgraph.hooks.kafka import KafkaHook
from tests.support.ti_ids import new_ti_id
from workflow_events import Fleet
from workflow_events.models import Attempt

EVENT = {"event_type": "workflow.triggered", "source": "airflow", "workflow_id": "d", "workflow_run_id": "r"}


@pytest.fixture
def used(monkeypatch):
    """The topics that were used."""
    used = []

    def deliver(message, topic, *_):
        used.append(topic)
        return SimpleNamespace(topic=topic, partition=0, offset=0)

    class Admin:
        def __init__(self, connection):
            pass

        end_offsets = used.append

        def create(self, specs):
            used.extend(spec.name for spec in specs)

    monkeypatch.setattr(module, "deliver", deliver)
    monkeypatch.setattr(module, "TopicAdmin", Admin)
    extra = {"bootstrap.servers": "broker:9092"}
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": extra}))
    return used


def use(hook, **topic):
    """Call each method that takes a topic."""
    hook.publish_workflow_event(payload={"data": {}}, **EVENT, **topic)
    hook.end_offsets(**topic)
    hook.announce(Attempt(task="t" * 64, id=new_ti_id(), try_number=2, max_tries=3), **topic)
    hook.cancel(uuid4(), **topic)


@pytest.mark.parametrize("fleet", ["risk", {"name": "risk"}])
def test_its_fleet_is_the_default(used, fleet):
    use(KafkaHook(fleet=fleet))
    assert used == [f"risk.workflow-{topic}" for topic in ("events", "results", "control", "control")]


def test_without_one_it_is_the_configured_fleet(used, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__FLEET", "credit")
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__CONTROL_TOPIC", "steer")
    use(KafkaHook())
    assert used == ["credit.workflow-events", "credit.workflow-results", "steer", "steer"]


def test_a_topic_that_is_named_counts_more(used):
    use(KafkaHook(fleet="risk"), topic="mine")
    assert used == ["mine"] * 4


def test_it_creates_its_fleet(used):
    KafkaHook(fleet="risk").ensure_topics()
    assert used == [spec.name for spec in Fleet.named("risk").specs()]


def test_or_another_one(used):
    KafkaHook(fleet="risk").ensure_topics(Fleet.named("credit"))
    assert used == [spec.name for spec in Fleet.named("credit").specs()]


def test_what_is_no_fleet_is_refused_at_once():
    with pytest.raises(SettingsError, match="unknown key 'topic'"):
        KafkaHook(fleet={"topic": "x"})


class InProcessSupervisorComms:
    """The supervisor's stand-in of ``airflow dags test``: it has no asynchronous calls."""


async def test_a_dags_test_reads_its_connection_synchronously(monkeypatch):
    async def aget_connection(_, name):
        raise AirflowNotFoundException(f"The conn_id `{name}` isn't defined")

    stored = Connection(conn_id="stored", conn_type="kafka", extra=json.dumps({"bootstrap.servers": "b:1"}))
    monkeypatch.setattr(KafkaHook, "aget_connection", aget_connection)
    monkeypatch.setattr(KafkaHook, "get_connection", lambda *_: stored)
    with pytest.raises(KafkaError):
        await KafkaHook("stored").asettings()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", InProcessSupervisorComms(), raising=False)
    assert (await KafkaHook("stored").asettings())["bootstrap.servers"] == "b:1"


async def test_a_connection_that_does_not_exist_is_named_with_ways_to_make_it():
    says = (
        r"Airflow connection 'no-such' is not defined\. If you mean another one, correct the operator's "
        r"kafka_config_id\. Else make it: airflow connections add no-such --conn-type kafka "
        r".*AIRFLOW_CONN_NO-SUCH"
    )
    with pytest.raises(KafkaError, match=says):
        KafkaHook("no-such").settings()
    with pytest.raises(KafkaError, match=says):
        await KafkaHook("no-such").asettings()


def test_a_field_that_events_do_not_have_is_named_before_it_is_lost(used, caplog, monkeypatch):
    monkeypatch.setattr(KafkaHook, "log", logging.getLogger("hook"))  # a task's logger does not propagate
    KafkaHook().publish_workflow_event(payload={"dta": {"x": 1}}, threadId="talk", **EVENT)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [warning.partition("have: ")[2] for warning in warnings] == [
        "field 'payload.dta' is not known, and has no effect: did you mean 'payload.data'?",
        "field 'threadId' is not known, and has no effect: did you mean 'thread_id'?",
    ]
    assert len(used) == 1
