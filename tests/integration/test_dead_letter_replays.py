"""Dead letters from the command line, with a real Kafka: looked at, and replayed beside workers that are killed."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor
from devtools.broker import Broker
from devtools.postgres import PostgresServer
from devtools.processes import wait_until
from tests.support.ti_ids import new_ti_id
from tests.support.worker import PLAIN, SECONDS, Desk, Gate, desk_of
from workflow_events import ResultStatus
from workflow_events.identity import correlation_id, replay_id, task_key

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

CONTEXT: Any = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="wait", map_index=-1)}
ONE_STORE = pytest.mark.parametrize("desk", ["sqlite"], indirect=True)  # what no store decides
QUICK = {"lease_seconds": 1, "renew_seconds": 0.3}


def dlq(desk: Desk, *arguments: str, code: int | None = 0) -> list[str]:
    """The lines that a command of ``dlq`` prints, with the worker's settings.

    :param code: the exit code that is expected; None: any.
    """
    command = [sys.executable, "-m", "langgraph_worker", "dlq", *arguments]
    done = subprocess.run(command, env=desk.worker.environment, capture_output=True, text=True, timeout=60, check=False)
    assert code in (None, done.returncode), done.stderr
    return done.stdout.splitlines()


def letters(desk: Desk, *filters: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dlq(desk, "list", "--json", *filters)]


def replayed(desk: Desk, *arguments: str, code: int | None = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dlq(desk, "replay", "--json", *arguments, code=code)]


def attempt_of(try_number: int = 1, **changes: Any) -> dict[str, Any]:
    """What an operator's request says of its task."""
    task = task_key("here", "d", "r", "ask")
    return {"task": task, "id": str(new_ti_id()), "try_number": try_number, "max_tries": 1, **changes}


def kill_while_it_waits(desk: Desk, *gates: Gate, starts: int) -> None:
    """Kill the worker once each of these runs has begun its second node so often; start the next one."""
    for gate in gates:
        gate.wait_for("waiting", starts)
    desk.worker.child.kill()
    desk.worker.launch()


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, broker: Broker, tmp_path: Any) -> Any:
    store = {}
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        store["store_url"] = server.create_database("replays")
    with desk_of(broker, tmp_path, **QUICK, **store) as desk, desk.worker:
        yield desk


def test_a_replay_resumes_over_a_kill_and_a_dag_gets_its_result(desk, monkeypatch):
    """Of a task's request, and of one that names no task: both have killed their workers, and have not any more."""
    of_task, plain = desk.gate(), desk.gate()
    attempt = attempt_of()
    named = desk.ask("gated", of_task.data, attempt=attempt, event_id=str(correlation_id(UUID(attempt["id"]))))
    unnamed = desk.ask("gated", plain.data)
    for starts in range(1, 5):
        kill_while_it_waits(desk, of_task, plain, starts=starts)
    assert {desk.answer(one).error_type for one in (named, unnamed)} == {"worker_lost"}

    wait_until("both dead letters", lambda: len(letters(desk)) == 2, timeout=SECONDS)
    found = {one["correlation_id"]: one for one in letters(desk, "--reason", "worker_lost")}
    assert {name: (one["attempts"], one["replay"], one["graph"]) for name, one in found.items()} == {
        str(named): (4, 0, "gated"),
        str(unnamed): (4, 0, "gated"),
    }
    sent = replayed(desk, found[str(named)]["place"], str(unnamed))
    assert [one["correlation_id"] for one in sent] == [str(replay_id(of, 1)) for of in (named, unnamed)]
    kill_while_it_waits(desk, of_task, plain, starts=5)
    of_task.wait_for("waiting", 6)
    plain.wait_for("waiting", 6)
    # A second person replays the same letters: the same requests, which run once.
    again = replayed(desk, "--reason", "worker_lost", "--yes")
    assert {one["correlation_id"] for one in again} == {one["correlation_id"] for one in sent}
    of_task.open()
    plain.open()
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": desk.kafka.client}))
    for one, gate in zip(sent, (of_task, plain), strict=True):
        waits = LangGraphResultSensor(task_id="wait", handle=json.dumps(one["handle"]), deferrable=False)
        assert waits.execute(CONTEXT)["value"] == "done"
        assert desk.answer(UUID(one["correlation_id"])).attempts == 2
        assert (gate.ledger.count("first"), gate.ledger.count("last")) == (1, 1)


def allow(desk: Desk, model: str) -> None:
    """Start the worker again, which takes this model from now on."""
    desk.worker.stop()
    desk.worker.environment["LANGGRAPH_WORKER_ALLOWED_MODELS"] = model
    desk.worker.launch()
    desk.worker.wait_ready()


def refused(desk: Desk, graph: str | None = "echo", **fields: Any) -> UUID:
    """A request that is dead-lettered until its model is allowed."""
    asked = desk.ask(graph, config={"model": "new"}, **fields)
    assert desk.answer(asked).error_type == "model_not_allowed"
    return asked


def test_a_replay_never_beats_a_live_retry(desk):
    gate = desk.gate()
    asked = refused(desk, attempt=attempt_of(1))
    allow(desk, "new")
    live = desk.ask("gated", gate.data, attempt=attempt_of(2))
    gate.wait_for("waiting")
    [sent] = replayed(desk, str(asked))
    late = desk.answer(UUID(sent["correlation_id"]))
    assert (late.status, late.error_type, late.retriable) == (ResultStatus.CANCELLED, "superseded", True)
    gate.open()
    assert desk.answer(live).status is ResultStatus.SUCCESS
    assert gate.ledger == ["first", "waiting", "passed", "last"]


@ONE_STORE
def test_a_replay_that_dies_is_dead_lettered_with_its_count(desk):
    asked = refused(desk)
    for number in (1, 2):
        newest = letters(desk)[-1] if number == 1 else next(one for one in letters(desk) if one["replay"] == number - 1)
        [sent] = replayed(desk, newest["place"])
        assert (sent["of"], sent["number"]) == (str(asked), number)
        assert sent["correlation_id"] == str(replay_id(asked, number))
        assert desk.answer(UUID(sent["correlation_id"])).error_type == "model_not_allowed"
    assert sorted(one["replay"] for one in letters(desk, "--reason", "model_not_allowed")) == [0, 1, 2]


@ONE_STORE
def test_of_a_bulk_each_letter_that_can_be_replayed_is(desk):
    desk.send("{")
    good, _ = refused(desk), refused(desk, "nowhere")
    gone = refused(desk, None, event_type="workflow.resumed", round=1, answers=[{"interrupt_id": "i9", "value": 1}])
    wait_until("four letters", lambda: len(letters(desk)) == 4, timeout=SECONDS)
    [broken] = letters(desk, "--reason", "invalid_event")
    assert "is no request" in replayed(desk, broken["place"], code=1)[0]["error"]

    allow(desk, "new")
    assert "sent" not in {one["status"] for one in replayed(desk, "--reason", "model_not_allowed", code=2)}
    wait_until(
        "all graphs to be announced",
        lambda: "refused" in {one["status"] for one in replayed(desk, "--text", "NEW", "--dry-run", code=None)},
        timeout=60,
    )
    assert desk.committed() == 4  # nothing was sent so far
    sent = replayed(desk, "--reason", "model_not_allowed", "--yes", code=1)
    of = {one.get("of"): one for one in sent}
    assert of.keys() == {str(good), str(gone), None}
    assert "no worker of the fleet serves graph 'nowhere'" in of[None]["error"]
    assert desk.answer(replay_id(good, 1)).status is ResultStatus.SUCCESS
    assert desk.answer(replay_id(gone, 1)).error_type == "interrupt_not_pending"


@ONE_STORE
def test_what_a_sender_has_written_does_not_drive_the_terminal(desk):
    nasty = "\x1b[2J\x9b0m\u202egarden\r\nnot a line of ours"
    body = {
        **PLAIN,
        "event_id": str(uuid4()),
        "workflow_id": nasty,
        "config": {"model": "new"},
        "payload": {"data": {"x": nasty * 5_000}},
    }
    desk.send(json.dumps(body))
    desk.answer(UUID(body["event_id"]))
    desk.send(b"\x1b[2J\xff\x00 no event", headers=(("evil", b"\x1b[31m"),))
    wait_until("two letters", lambda: len(letters(desk)) == 2, timeout=SECONDS)
    lines = [*dlq(desk, "list"), *dlq(desk, "show", body["event_id"])]
    [broken] = letters(desk, "--reason", "invalid_event")
    lines += dlq(desk, "show", broken["place"])
    assert all(line.isprintable() for line in lines)
    assert len(dlq(desk, "list")) == 2
    assert sum(map(len, lines)) < 20_000
    assert any("more characters; --full shows them" in line for line in lines)
    assert "\\xff" in lines[-1]
    assert sum(map(len, dlq(desk, "show", "--full", body["event_id"]))) > 5_000 * len(nasty)
