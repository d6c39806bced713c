"""What workers announce on a real Kafka, and what a task makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from airflow_provider_langgraph.exceptions import GraphCheckError, KafkaError
from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.announced_fleet import AnnouncedFleet
from devtools.processes import wait_until
from devtools.worker import Worker
from langgraph_worker.broker.kafka.admin import ClusterAdmin
from langgraph_worker.settings.load import load_settings
from tests.support.asking_task import context
from tests.support.kafka import KafkaTopics
from tests.support.ti_ids import new_ti_id
from tests.support.worker import SECONDS, Desk, desk_of
from workflow_events.announcements import BELIEVED_SECONDS, WorkerAnnouncement, worker_key
from workflow_events.codec import encode

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

CODE = """
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

class Asked(BaseModel):
    {field}: str

class Done(Asked):
    answer: str = ""

def answer(state: Asked):
    return {{"answer": state.{field}.upper()}}

built = StateGraph(Done, input_schema=Asked)
built.add_node("answer", answer)
built.add_edge(START, "answer")
graph = built.compile()
"""


def project(folder: Path, name: str, field: str, **entry: Any) -> Path:
    """A project with one graph, whose input has one field; its manifest."""
    folder.mkdir()
    (folder / "desk.py").write_text(CODE.format(field=field))
    manifest = folder / "langgraph.json"
    graphs = {name: {"path": "./desk.py:graph", **entry}}
    manifest.write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
    return manifest


@pytest.fixture
def connected(broker, monkeypatch):
    """The broker is that of Airflow's connection."""
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": broker.client}))
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test")


def announced(kafka: KafkaTopics, now: datetime | None = None) -> AnnouncedFleet:
    found = KafkaHook(fleet=kafka.prefix).announcements()
    return AnnouncedFleet.of(found, kafka.fleet.events, now or datetime.now(UTC))


def known_workers(kafka: KafkaTopics) -> dict[str, WorkerAnnouncement]:
    return {worker.worker_id: worker for worker in announced(kafka).workers}


def wait_for_worker(desk: Desk, worker_id: str) -> WorkerAnnouncement:
    wait_until(f"the announcement of {worker_id}", lambda: worker_id in known_workers(desk.kafka), timeout=SECONDS)
    return known_workers(desk.kafka)[worker_id]


def task(desk: Desk, graph: str, data: Any, **fields: Any) -> Any:
    """Run a task that checks what it asks; its result."""
    asking = LangGraphTriggerOperator(
        task_id="agent", graph=graph, input=data, fleet=desk.kafka.prefix, deferrable=False, timeout=30, **fields
    )
    return asking.execute(context(id=new_ti_id()))


def requests(desk: Desk) -> int:
    return len(desk.kafka.read_all(desk.kafka.fleet.events))


def test_a_task_learns_what_is_wrong_before_it_asks(broker, tmp_path, connected, capsys):
    manifest = project(tmp_path / "one", "desk", "question", assistants={"night": {}})
    settings = {"worker_id": "one", "default_graph": "desk", "unknown_graph_grace_seconds": 0}
    with desk_of(broker, tmp_path, manifest, **settings) as desk:
        with desk.worker:
            wait_for_worker(desk, "one")
            for wrong, says in [
                ({"graph": "desc", "data": {}}, r"graph named 'desc'\. Known: desk\. Did you mean 'desk'\?"),
                ({"graph": "desk", "data": {"qwestion": "why"}}, r"field 'qwestion', .* Did you mean 'question'\?"),
                ({"graph": "desk", "data": {}}, "input lacks the field 'question'"),
                ({"graph": "desk", "data": {"question": 1}}, r"input\.question must be a text, not a number"),
                ({"graph": "desk", "data": {"question": "w"}, "assistant": "naight"}, "Did you mean 'night'"),
            ]:
                with pytest.raises(GraphCheckError, match=says):
                    task(desk, **wrong, check_graph=True)
            assert requests(desk) == 0
            assert task(desk, "desk", {"question": "why"}, check_graph=True)["answer"] == "WHY"
            assert "Graph desk is served by 1 worker, and takes this input" in capsys.readouterr().out
        assert announced(desk.kafka).workers == ()  # it has taken its record back
        key = worker_key(desk.kafka.fleet.events, "one").encode()
        records = desk.kafka.read_all(desk.kafka.fleet.graphs)
        assert [one.value() for one in records if one.key() == key][-1] is None


def test_a_renamed_graph_is_believed_no_longer_than_the_worker_that_had_it(broker, tmp_path, connected):
    """Two releases, one after the other; the worker of the first is killed."""
    old = project(tmp_path / "old", "desk", "question")
    new = project(tmp_path / "new", "trading", "symbol")
    settings = {"worker_id": "first", "default_graph": "desk", "unknown_graph_grace_seconds": 0, "release": "1"}
    with desk_of(broker, tmp_path, old, **settings) as desk, desk.worker:
        wait_for_worker(desk, "first")
        child = desk.worker.child
        assert child is not None
        child.kill()
        last = known_workers(desk.kafka)["first"]

        changed = {
            "LANGGRAPH_WORKER_WORKER_ID": "second",
            "LANGGRAPH_WORKER_DEFAULT_GRAPH": "trading",
            "LANGGRAPH_WORKER_RELEASE": "2",
        }
        environment = desk.worker.environment | changed
        environment.pop("LANGGRAPH_WORKER_LANGGRAPH_JSON")
        with Worker(broker, new, tmp_path, fleet=desk.kafka.prefix, env=environment):
            second = wait_for_worker(desk, "second")
            assert (last.release, second.release) == ("1", "2")
            both = announced(desk.kafka)
            assert both.names == {"desk", "trading"}
            assert task(desk, "trading", {"symbol": "aapl"}, check_graph=True)["answer"] == "AAPL"

            gone = last.announced_at + timedelta(seconds=BELIEVED_SECONDS, milliseconds=1)
            assert announced(desk.kafka, gone).names == {"trading"}
            assert {one.graph for one in announced(desk.kafka, gone).variants("trading") or ()} == {"trading"}


def test_two_fleets_can_announce_on_one_topic(broker, tmp_path, connected):
    manifest = project(tmp_path / "one", "desk", "question")
    settings = {"worker_id": "one", "default_graph": "desk"}
    with desk_of(broker, tmp_path, manifest, **settings) as desk, desk.worker:
        wait_for_worker(desk, "one")
        topic = desk.kafka.fleet.graphs
        other = WorkerAnnouncement(worker_id="one", events_topic="others", graphs={"theirs": None})
        desk.kafka.produce(topic, encode(other))
        found = KafkaHook(fleet=desk.kafka.prefix).announcements()
        assert AnnouncedFleet.of(found, desk.kafka.fleet.events, datetime.now(UTC)).names == {"desk"}
        assert AnnouncedFleet.of(found, "others", datetime.now(UTC)).names == {"theirs"}


def test_without_its_topic_nothing_is_announced_and_everything_runs(broker, tmp_path, connected, capsys):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker creates a missing topic by itself")
    manifest = project(tmp_path / "one", "desk", "question")
    with desk_of(broker, tmp_path, manifest, worker_id="one", default_graph="desk") as desk:
        for future in desk.kafka.admin.delete_topics([desk.kafka.fleet.graphs]).values():
            future.result(15)
        with desk.worker:
            desk.logged(
                f"no topic {desk.kafka.fleet.graphs}, or this user may not see it: the graphs are not announced"
            )
            with pytest.raises(
                KafkaError, match=r"cannot read .*workflow-graphs: UNKNOWN_TOPIC_OR_PART.*Create|create it"
            ):
                KafkaHook(fleet=desk.kafka.prefix).announcements()
            assert task(desk, "desk", {"question": "why"}, check_graph=True)["answer"] == "WHY"
            said = capsys.readouterr().out
            assert "The graph is not checked, and is asked all the same: Kafka connection 'kafka_default'" in said


class TestTopic:
    def test_a_worker_creates_it_compacted(self, broker, kafka):
        name = f"{kafka.prefix}-new"
        [spec] = [spec for spec in replace(kafka.fleet, graphs=name).specs() if spec.name == name]
        settings = load_settings({"kafka_bootstrap_servers": broker.bootstrap_servers})
        ClusterAdmin(settings).create([spec], 1)
        resource = ConfigResource(ResourceType.TOPIC, spec.name)
        found = kafka.admin.describe_configs([resource])[resource].result(15)
        kafka.admin.delete_topics([name])[name].result(15)
        assert {setting: found[setting].value for setting in spec.config} == spec.config

    def test_the_last_record_of_each_key_is_read_and_an_empty_one_is_none(self, connected, kafka):
        hook, topic = KafkaHook(fleet=kafka.prefix), kafka.fleet.graphs
        assert hook.announcements() == []
        one, two = (
            WorkerAnnouncement(worker_id=name, events_topic=kafka.fleet.events, graphs={"desk": None})
            for name in ("one", "two")
        )
        newer = one.model_copy(update={"graphs": {"trading": None}})
        for message in (one, two, newer):
            kafka.produce(topic, encode(message))
        kafka.produce(topic, None, key=worker_key(two.events_topic, "two").encode())
        kafka.produce(topic, b"no json", key=b"worker/x/y")
        kafka.produce(topic, b"no key")
        assert hook.announcements() == [newer]

    def test_what_takes_too_long_is_an_error_and_not_half_of_it(self, connected, kafka):
        kafka.produce(kafka.fleet.graphs, encode(WorkerAnnouncement(worker_id="a", events_topic="e", graphs={})))
        with pytest.raises(KafkaError, match=r"cannot read all of .*: its end was not reached within 0 s"):
            KafkaHook(fleet=kafka.prefix, timeout=0).announcements()
