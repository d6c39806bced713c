"""A task's links on its page, from a real Airflow: while it is deferred, when it has ended, and after a new try."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import UUID

import pytest

from devtools.airflow import AirflowStack
from devtools.broker import Broker
from devtools.postgres import PostgresServer
from tests.conftest import SYSTEM
from tests.support.otlp import OtlpReceiver, otlp_receiver
from tests.support.polling import until
from tests.system.witnesses import Folder
from workflow_events.identity import correlation_id

pytestmark = [pytest.mark.system, pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.usefixtures("worker")]

TEMPLATES = {
    "RUN": "https://runs.example.com/{correlation_id}?where={run_id}/{map_index}",
    "THREAD": "https://runs.example.com/threads/{thread_id}",
    "TRACE": "https://traces.example.com/trace/{trace_id}",
}


@pytest.fixture(scope="module")
def traces() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def airflow(
    broker: Broker, system_fleet: str, postgres_server: PostgresServer, traces: OtlpReceiver
) -> Iterator[AirflowStack]:
    env = {f"AIRFLOW__LANGGRAPH__{name}_URL": template for name, template in TEMPLATES.items()}
    env |= {"AIRFLOW__TRACES__OTEL_ON": "True", **traces.env}
    database = postgres_server.create_database("airflow_links")
    dags = [SYSTEM / "dags"]
    with AirflowStack(dags, kafka=broker.client, fleet=system_fleet, database=database, env=env) as stack:
        yield stack
    postgres_server.drop_database(database)


def run_link(task, run_id):
    place = f"{run_id.replace(':', '%3A').replace('+', '%2B')}/{task.map_index}"
    return f"https://runs.example.com/{correlation_id(UUID(task.id))}?where={place}"


def test_a_deferred_task_has_its_links_and_a_new_try_has_its_own(airflow, traces, tmp_path):
    folder = Folder(tmp_path)
    run_id = airflow.run_dag("deferred", {"folder": str(tmp_path), "name": "linked"})
    task = airflow.wait_for_task("deferred", run_id, "agent", "deferred")

    links = airflow.api.links("deferred", run_id, "agent")
    assert links["Agent run"] == run_link(task, run_id)
    assert links["Agent thread"] is None  # the thread has no name, and its id comes with the result
    trace = (links["Agent trace"] or "").removeprefix("https://traces.example.com/trace/")
    folder.open_gate()
    assert airflow.wait_for_run("deferred", run_id) == "success"
    ended = airflow.api.links("deferred", run_id, "agent")
    assert ended | {"Agent thread": None} == links
    asyncio.run(until(lambda: bool(traces.of_trace(trace)), 60))  # the link shows what Airflow has sent
    assert UUID(ended["Agent thread"].rpartition("/")[2])

    airflow.api.clear("deferred", run_id, ["agent"])
    assert airflow.wait_for_run("deferred", run_id) == "success"
    again = airflow.api.task_instance("deferred", run_id, "agent")
    assert airflow.api.links("deferred", run_id, "agent")["Agent run"] == run_link(again, run_id) != links["Agent run"]


def test_each_mapped_task_and_its_sensor_link_to_the_same_run(airflow):
    run_id = airflow.run_dag("sensed_each")
    assert airflow.wait_for_run("sensed_each", run_id) == "success"
    asked = {one.map_index: one for one in airflow.api.task_instances("sensed_each", run_id) if one.task_id == "ask"}
    assert set(asked) == {0, 1, 2}
    for number, task in asked.items():
        for name in ("ask", "answer"):
            links = airflow.api.links("sensed_each", run_id, name, number)
            assert links["Agent run"] == run_link(task, run_id)
