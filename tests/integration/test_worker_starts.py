"""A worker that cannot start says why, where, and what to do; ``check`` says the same without starting one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from devtools.broker import Broker
from devtools.processes import Child, free_port, wait_until
from devtools.worker import READY
from tests.support.kafka import KafkaTopics
from tests.support.worker import ODD, PLAIN, SECONDS, Desk, copy_of_the_plain_project, desk_of, settings
from workflow_events import ResultStatus, WorkflowResultEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]  # an interpreter with LangGraph, and 10 s for a broker


# These sources, whatever is installed, and the graphs; no setting of the tests' own environment.
BARE = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    "LANGGRAPH_WORKER_LANGGRAPH_JSON": str(ODD),
}


def worker_command(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the worker to its end, with only these settings in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "langgraph_worker", *arguments],
        cwd=folder,
        env={**BARE, **env},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def kafka_settings(client: dict[str, str], **more: str) -> dict[str, str]:
    further = {name: value for name, value in {**client, **more}.items() if name != "bootstrap.servers"}
    return {"KAFKA_BOOTSTRAP_SERVERS": client["bootstrap.servers"], "KAFKA_CONFIG": json.dumps(further)}


def fleet_setting(desk: Desk) -> dict[str, str]:
    return {"LANGGRAPH_WORKER_FLEET": desk.kafka.prefix}


def lines_of(output: str) -> dict[str, str]:
    """The verdict of ``check`` by name: ``ok`` or ``FAIL``, and the reason."""
    found = re.findall(r"^(\w+) +(ok|FAIL) +(.*)$", output, re.MULTILINE)
    return {name: f"{verdict} {reason}" for name, verdict, reason in found}


def test_a_wrong_setting_ends_it_at_once(tmp_path):
    done = worker_command(tmp_path, "run", "--concurrency", "none", KAFKA_ENABLE_AUTO_COMMIT="true")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "KAFKA_ENABLE_AUTO_COMMIT='true' (environment variable): true would lose requests" in done.stderr
    assert "--concurrency='none' (flag; the environment variable would be LANGGRAPH_WORKER_CONCURRENCY)" in done.stderr


def test_a_setting_that_librdkafka_does_not_know_is_a_wrong_setting(tmp_path):
    done = worker_command(tmp_path, "run", KAFKA_CONFIG='{"sasl.mechanizm": "PLAIN"}')
    assert done.returncode == 2
    assert 'KAFKA_CONFIG: No such configuration property: "sasl.mechanizm"' in done.stderr
    assert "Traceback" not in done.stderr


def test_no_project_is_named(tmp_path):
    done = worker_command(tmp_path, "run", LANGGRAPH_WORKER_LANGGRAPH_JSON="gone.json")
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith(f"langgraph-worker: there is no {tmp_path}/gone.json")
    assert "Traceback" not in done.stderr


def test_a_broker_that_is_not_there_is_named(tmp_path):
    port = free_port()
    done = worker_command(tmp_path, "run", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}")
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"langgraph-worker: no broker answers at 127.0.0.1:{port}")
    assert "Check KAFKA_BOOTSTRAP_SERVERS" in line


@pytest.mark.parametrize("command", ["run", "check"])
def test_wrong_credentials_are_named_as_such(sasl, tmp_path, command):
    done = worker_command(tmp_path, command, **kafka_settings(sasl, **{"sasl.password": "geheim"}))
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert f"Kafka at {sasl['bootstrap.servers']} refuses the credentials" in text
    assert "sasl.password in KAFKA_CONFIG" in text
    assert "geheim" not in text
    assert "Traceback" not in text


def test_right_credentials_are_enough(broker, sasl, tmp_path):
    with desk_of(broker, tmp_path, variables=kafka_settings(sasl)) as desk, desk.worker:
        assert desk.run("echo").status is ResultStatus.SUCCESS


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_missing_topic_is_named(broker, tmp_path, command):
    with desk_of(broker, tmp_path) as desk:
        names = {**fleet_setting(desk), "KAFKA_WORKFLOW_RESULTS_TOPIC": f"{desk.kafka.prefix}-none"}
        done = worker_command(tmp_path, command, **kafka_settings(desk.kafka.client), **names)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert f"no topic {desk.kafka.prefix}-none at {broker.bootstrap_servers}" in text
    assert "--create-topics" in text


def test_missing_topics_are_created_when_asked(broker, tmp_path):
    named = f"{uuid4()}-events"
    more = {"KAFKA_WORKFLOW_EVENTS_TOPIC": named, "LANGGRAPH_WORKER_CREATE_TOPICS": "true"}
    with desk_of(broker, tmp_path, variables=more) as desk, desk.worker:
        topics = desk.kafka.admin.list_topics(timeout=10).topics
    assert len(topics[named].partitions) == 12


def test_a_named_fleet_has_its_own_topics_and_group(broker, tmp_path):
    name = f"risk-{uuid4().hex[:10]}"
    kafka = KafkaTopics(broker, name)
    flags = ["--fleet", name, "--create-topics", "--default-graph", "echo"]
    env = BARE | kafka_settings({**broker.client, **broker.consumer})
    command = [sys.executable, "-m", "langgraph_worker", "run", *flags]
    before = set(kafka.admin.list_topics(timeout=10).topics)
    child = Child("worker", command, log=tmp_path / "worker.log", env=env, cwd=tmp_path)
    try:
        wait_until("the worker to be ready", lambda: READY in child.output(), timeout=SECONDS * 2, show=[child])
        event_id = uuid4()
        kafka.produce(f"{name}.workflow-events", json.dumps({**PLAIN, "event_id": str(event_id)}))
        [reply] = kafka.read(f"{name}.workflow-results", 1)
    finally:
        child.stop()
    created = {topic for topic in kafka.admin.list_topics(timeout=10).topics if topic.startswith(name)}
    committed = kafka.committed(f"{name}.langgraph-consumer-group", f"{name}.workflow-events")
    for future in kafka.admin.delete_topics(sorted(created)).values():
        future.result(15)

    result = WorkflowResultEvent.model_validate_json(reply.value())
    assert (result.correlation_id, result.status) == (event_id, ResultStatus.SUCCESS)
    assert not created & before
    assert created == {
        f"{name}.workflow-{kind}" for kind in ("events", "results", "progress", "control", "graphs", "events-dlq")
    }
    assert sum(offset for offset in committed.values() if offset > 0) == 1
    assert f"topic {name}.workflow-events, group {name}.langgraph-consumer-group, fleet {name};" in child.output()


def test_a_topic_for_smaller_messages_is_refused(broker, tmp_path):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker does not report a topic's settings")
    with desk_of(broker, tmp_path) as desk:
        small = f"{desk.kafka.prefix}-small"
        desk.kafka.create(small, config={"max.message.bytes": "50000"})
        names = {**fleet_setting(desk), "KAFKA_WORKFLOW_RESULTS_TOPIC": small}
        done = worker_command(tmp_path, "run", **kafka_settings(desk.kafka.client), **names)
    assert done.returncode == 1
    assert f"topic {small} takes messages of up to 50,000 bytes" in done.stderr


def test_a_topic_that_takes_compressed_records_is_named(broker, tmp_path):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker does not report a topic's settings")
    with desk_of(broker, tmp_path) as desk:
        other = f"{desk.kafka.prefix}-other"
        desk.kafka.create(other)
        names = {**kafka_settings(desk.kafka.client), **fleet_setting(desk)}
        done = worker_command(tmp_path, "check", "--default-graph", "echo", **names)
        assert "compression.type" not in done.stdout
        done = worker_command(tmp_path, "check", "--default-graph", "echo", **names, KAFKA_WORKFLOW_CONTROL_TOPIC=other)
    assert done.returncode == 0, done.stdout
    assert f"topic {other} has compression.type=producer: " in done.stdout
    assert f"--entity-name {other} --add-config compression.type=uncompressed" in done.stdout


@pytest.mark.timeout(60)
def test_a_store_serves_one_worker(broker, tmp_path):
    with desk_of(broker, tmp_path) as desk, desk.worker:
        mine = {**kafka_settings(desk.kafka.client), **fleet_setting(desk), **settings()}
        second = worker_command(tmp_path, "run", **mine)
        assert second.returncode == 1
        assert "is in use by another worker process" in second.stderr
        checked = worker_command(tmp_path, "check", **mine)
        assert checked.returncode == 0
        assert "in use by a worker that is running" in lines_of(checked.stdout)["store"]


def test_check_says_ok_line_by_line(broker, tmp_path):
    with desk_of(broker, tmp_path) as desk:
        names = {**kafka_settings(desk.kafka.client), **fleet_setting(desk)}
        done = worker_command(tmp_path, "check", "--default-graph", "echo", **names)
    assert done.returncode == 0, done.stdout
    lines = lines_of(done.stdout)
    assert list(lines) == ["config", "broker", "topics", "store", "graphs"]
    assert all(line.startswith("ok ") for line in lines.values())
    assert lines["config"].startswith("ok 4 settings from the environment, 1 from flags")
    assert broker.bootstrap_servers in lines["broker"]
    assert lines["topics"].startswith(f"ok fleet {desk.kafka.prefix}, group {desk.group}: ")
    assert lines["graphs"].startswith("ok asks, big, dies, echo")


def test_check_names_every_fault_at_once(tmp_path):
    (tmp_path / "langgraph.json").write_text('{"graphs": {"desk": "./gone.py:graph"}}')
    done = worker_command(
        tmp_path,
        "check",
        KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}",
        LANGGRAPH_WORKER_LANGGRAPH_JSON="langgraph.json",
        LANGGRAPH_WORKER_STORE_URL="sqlite:///no/such/folder/x.db",
    )
    assert done.returncode == 1
    assert done.stderr == ""
    lines = lines_of(done.stdout)
    assert lines["config"].startswith("ok")
    assert "FAIL no broker answers at 127.0.0.1:" in lines["broker"]
    assert lines["topics"].startswith("FAIL")
    assert "does not exist: create it" in lines["store"]
    assert "graph 'desk' (./gone.py:graph" in lines["graphs"]


def test_check_names_a_wrong_setting(tmp_path):
    done = worker_command(tmp_path, "check", LANGGRAPH_WORKER_STORE_URL="mysql://me:geheim@db/x")
    assert done.returncode == 2
    assert lines_of(done.stdout)["config"].startswith("FAIL LANGGRAPH_WORKER_STORE_URL (environment variable): ")
    assert "geheim" not in done.stdout


def test_graphs_lists_what_the_manifest_offers(tmp_path):
    manifest = copy_of_the_plain_project(tmp_path)
    done = worker_command(tmp_path, "graphs", "--langgraph-json", str(manifest))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "agent    compiled  ./my_agent/agent.py:graph",
        "summary  factory   ./my_agent/summary.py:make_graph  Shortens a text.",
    ]
    assert "  input   text: string, summary: string" in lines


def test_an_existing_project_runs_unchanged(broker: Broker, tmp_path: Path):
    manifest = copy_of_the_plain_project(tmp_path)
    with desk_of(broker, tmp_path, manifest, default_graph="agent") as desk, desk.worker:
        said = desk.run("agent", {"messages": [{"role": "user", "content": "hello"}]}, thread_id="chat")
        again = desk.run("agent", {"messages": [{"role": "user", "content": "you"}]}, thread_id="chat")
        short = desk.run("summary", {"text": "one two three"}, config={"configurable": {"words": 2}})
    assert said.result["messages"][-1]["content"] == "Ahoy! You said: hello"
    assert [message["content"] for message in again.result["messages"]] == [
        "hello",
        "Ahoy! You said: hello",
        "you",
        "Ahoy! You said: you",
    ]
    assert short.result["summary"] == "one two"
    assert said.thread_id == again.thread_id
    assert desk.worker.child is not None
    assert desk.worker.child.wait(SECONDS) == 0
