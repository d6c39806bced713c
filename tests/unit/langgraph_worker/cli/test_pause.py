"""``langgraph-worker pause | unpause | pauses``: what they publish, refuse and say, with and without the store."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.broker.port import SendError
from langgraph_worker.cli.command_line import main
from langgraph_worker.control.control_messages import pause_change
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.settings.explain import documentation
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import event, request
from workflow_events.codec import Record, decode_control
from workflow_events.control import PauseScope, WorkflowPausedEvent, WorkflowUnpausedEvent

FLEET, GRAPH, WORKFLOW = PauseScope.FLEET, PauseScope.GRAPH, PauseScope.WORKFLOW
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


class Kafka:
    """What was published, and what a worker does with it.

    :ivar takes_in: whether a worker runs.
    :ivar follows: what it takes in right behind each message.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.messages: list[WorkflowPausedEvent | WorkflowUnpausedEvent] = []
        self.takes_in = True
        self.trouble: SendError | None = None
        self.follows: PauseChange | None = None

    async def send(self, producer: AckProducer, topic, key, value, headers) -> None:
        assert topic == "workflow-control"
        if self.trouble is not None:
            raise self.trouble
        message = decode_control(Record(topic, 0, 0, value, headers))
        assert isinstance(message, WorkflowPausedEvent | WorkflowUnpausedEvent)
        self.messages.append(message)
        if self.takes_in and exists(self.url):
            await write(self.url, pause_change(message), *([self.follows] if self.follows else []))


def exists(url: str) -> bool:
    return Path(url.removeprefix("sqlite:///")).exists()


async def write(url: str, *changes: PauseChange) -> None:
    """As a worker does. It knows graphs ``trade`` and ``news``, and a request of workflow ``dag``."""
    store = SqlRunStore(url)
    await store.open(alone=not exists(url))
    await store.announce(WorkerInfo("w1", "1", "workflow-events", "group", {"trade": "", "news": ""}))
    await store.accept([request(event(event_id="00000000-0000-0000-0000-000000000001"), "trade")])
    await store.pause(changes)
    await store.close()


@pytest.fixture
def url(tmp_path, monkeypatch):
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: "ops")
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("LANGGRAPH_WORKER_STORE_URL", url)
    return url


@pytest.fixture
def kafka(url, monkeypatch):
    kafka = Kafka(url)
    monkeypatch.setattr("langgraph_worker.cli.pause.require_topic", lambda settings, topic: None)
    monkeypatch.setattr(AckProducer, "send", lambda producer, *message: kafka.send(producer, *message))
    return kafka


@pytest.fixture
def store(url):
    asyncio.run(write(url))


def test_the_whole_fleet_stops_by_one_command(kafka, store, capsys):
    assert main(["pause", "--now", "--reason", "markets\x1b[2J closed"]) == 0
    [message] = kafka.messages
    assert message == WorkflowPausedEvent(
        scope=FLEET, at_once=True, reason="markets\x1b[2J closed", requested_by="ops", timestamp=message.timestamp
    )
    assert capsys.readouterr().out == (
        f"the fleet is paused since {message.timestamp:%Y-%m-%d %H:%M:%S} UTC by ops: markets\\x1b[2J closed. Nothing "
        "of it starts, what runs is stopped now; `langgraph-worker unpause` ends the pause\n"
    )


def test_unpause_ends_the_pause_of_its_scope_and_names_what_stays_paused(kafka, store, capsys):
    assert main(["pause", "--graph", "trade", "--by", "ann"]) == 0
    assert main(["pause", "--workflow", "dag"]) == 0
    capsys.readouterr()
    assert main(["unpause", "--graph", "trade"]) == 0
    assert isinstance(kafka.messages[-1], WorkflowUnpausedEvent)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "graph 'trade' is no longer paused. What waits starts, and goes on from its last checkpoint"
    assert second.startswith("paused besides: workflow 'dag' is paused since ")
    assert main(["pauses"]) == 0
    assert capsys.readouterr().out.startswith("workflow 'dag' is paused since ")


@pytest.mark.parametrize("verb", ["pause", "unpause"])
@pytest.mark.parametrize(
    ("flag", "name", "said"),
    [
        (
            "--graph",
            "trad",
            "no worker has announced a graph named 'trad', so nothing was published. Known: news, ",
        ),
        ("--workflow", "dgg\n", "has no request of a workflow named 'dgg\\n', so nothing was published. Known: dag."),
    ],
)
def test_a_name_that_nobody_knows_is_refused_unless_it_is_forced(kafka, store, capsys, verb, flag, name, said):
    assert main([verb, flag, name]) == 2
    assert said in capsys.readouterr().err
    assert kafka.messages == []
    assert main([verb, flag, name, "--force"]) == 0
    assert [message.name for message in kafka.messages] == [name]


def test_a_graph_that_only_requests_wait_for_is_known(kafka, url, capsys):
    async def wait() -> None:
        store = SqlRunStore(url)
        await store.open()
        await store.accept([request(graph="not yet served")])
        await store.close()

    asyncio.run(wait())
    assert main(["pause", "--graph", "not yet served", "--wait", "0"]) == 0


def test_a_message_comes_behind_the_one_that_it_follows_whatever_the_clocks_say(kafka, url, store, capsys):
    asyncio.run(write(url, PauseChange(FLEET, "", False, LATER)))
    assert main(["pause"]) == 0
    assert [message.timestamp for message in kafka.messages] == [LATER + timedelta(microseconds=1)]


def test_a_message_that_no_worker_takes_in_is_not_called_a_pause(kafka, store, capsys):
    kafka.takes_in = False
    assert main(["pause", "--wait", "0"]) == 3
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("published: the fleet is paused since ")
    assert second.startswith("not confirmed: no worker has taken it in within 0.00 s: see whether one runs. ")


def test_a_pause_that_another_person_has_ended_meanwhile_is_not_called_one(kafka, url, store, capsys):
    kafka.follows = PauseChange(FLEET, "", False, LATER)
    assert main(["pause"]) == 3
    assert "not confirmed: a later message about the fleet came meanwhile: see `langgraph-worker pauses`. " in (
        capsys.readouterr().out
    )


def test_a_fleet_is_paused_although_its_store_cannot_be_read_from_here(kafka, url, capsys):
    assert main(["pause", "--graph", "trade"]) == 3
    assert [message.name for message in kafka.messages] == ["trade"]
    assert "not confirmed: neither the name nor the effect could be looked up in the run store: " in (
        capsys.readouterr().out
    )
    assert not exists(url)


def test_what_kafka_does_not_take_is_an_error(kafka, store, capsys):
    kafka.trouble = SendError("topic workflow-control: refused", retriable=False)
    assert main(["pause"]) == 1
    assert capsys.readouterr().err.endswith("langgraph-worker: topic workflow-control: refused\n")


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--reason", "x" * 2_049], "--reason"),
        (["--reason", "\udcff"], "--reason"),
        (["--by", "x" * 513], "--by"),
        (["--graph", ""], "--graph"),
        (["--workflow", "x" * 513], "--workflow"),
    ],
)
def test_a_value_that_is_no_message_is_named(kafka, store, capsys, arguments, flag):
    assert main(["pause", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"langgraph-worker: {flag}: ")
    assert kafka.messages == []


@pytest.mark.parametrize("arguments", [["--graph", "a", "--workflow", "b"], ["--wait", "-1"], ["--wait", "nan"]])
def test_what_the_command_line_does_not_take(kafka, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["pause", *arguments])


def test_the_outcome_as_json(kafka, store, capsys):
    assert main(["pause", "--json", "--reason", "a\nb"]) == 0
    printed = json.loads(capsys.readouterr().out)
    change = {
        "scope": "fleet",
        "name": "",
        "paused": True,
        "at_once": False,
        "reason": "a\nb",
        "requested_by": "ops",
        "changed_at": kafka.messages[0].timestamp.isoformat(),
    }
    assert printed == change | {"published": True, "stored": True, "doubt": None, "paused_now": [change]}
    assert main(["pauses", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [change]
    assert main(["unpause", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["paused_now"] == []
    assert main(["pauses"]) == 0
    assert capsys.readouterr().out == "nothing is paused\n"


def test_what_is_paused_is_not_known_without_the_store(url, capsys):
    assert main(["pauses"]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_a_second_graph_is_refused(url, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["pause", "--graph", "trade", "--graph", "echo"])
    assert raised.value.code == 2
    assert "--graph is given twice: one command changes one pause. Run it once for each" in capsys.readouterr().err


def test_output_that_is_not_read_to_its_end_is_no_stack_trace(store):
    command = [
        sys.executable,
        "-c",
        "from langgraph_worker.cli.command_line import main; raise SystemExit(main(['pauses']))",
    ]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
