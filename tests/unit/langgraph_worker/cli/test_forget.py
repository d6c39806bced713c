from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import UUID

import pytest
from langgraph.store.base import PutOp

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.cli.command_line import find_command, read_command_line
from langgraph_worker.cli.forget import NOT_REACHED, NotForgottenError
from langgraph_worker.errors import SettingsError
from langgraph_worker.operations.store_access import NotFoundError
from langgraph_worker.settings.explain import documentation
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import attempt, event, publish, ran, request
from tests.support.runs import chain, opened
from workflow_events.results import ResultStatus

NAMED = "graph graph, DAG dag, run run 0"
ONE, TWO, THREE = (UUID(f"abcd{number}111-0000-4000-8000-000000000001") for number in (1, 2, 3))


@pytest.fixture
def store(monkeypatch, tmp_path: Path) -> Path:
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)
    path = tmp_path / "store.db"
    monkeypatch.setenv("LANGGRAPH_WORKER_STORE_URL", f"sqlite:///{path}")
    asyncio.run(has_run(path))
    return path


async def has_run(path: Path) -> None:
    """Two tasks of two DAG runs, and a plain request that has not ended."""
    kept = SqlRunStore(f"sqlite:///{path}")
    await kept.open()
    try:
        for number, name in enumerate((ONE, TWO)):
            of = attempt(1, at=number, task=str(number) * 64)
            await ran(kept, request(event(of, event_id=name, workflow_run_id=f"run {number}")), ResultStatus.SUCCESS)
        await publish(kept)
        await kept.accept([request(event(None, event_id=THREE, workflow_id="other"))])
    finally:
        await kept.close()


def call(capsys, *words: str) -> tuple[int, str, str]:
    flags, arguments = read_command_line(["forget", *words])
    capsys.readouterr()
    code = find_command("forget")(flags, arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def left(path: Path) -> int:
    async def count() -> int:
        kept = SqlRunStore(f"sqlite:///{path}")
        await kept.open()
        try:
            return sum((await kept.counts()).values())
        finally:
            await kept.close()

    return asyncio.run(count())


def test_nothing_is_removed_before_it_is_confirmed(store, capsys):
    code, out, err = call(capsys, "--dag", "dag", "--run", "run 0")
    assert (code, left(store)) == (2, 3)
    assert out == f"to be removed: 1 request, 1 thread with all checkpoints\n  request {ONE} ({NAMED})\n"
    assert err == "langgraph-worker: nothing is removed yet. The same command with --yes removes it\n"


def test_a_dag_run_is_forgotten_and_what_is_elsewhere_is_said(store, capsys):
    code, out, err = call(capsys, "--dag", "dag", "--run", "run 0", "--yes")
    assert (code, left(store)) == (0, 2)
    assert (
        out == f"removed: 1 request, 1 thread with all checkpoints\n  request {ONE} (graph graph, DAG dag, run run 0)\n"
    )
    assert err == f"langgraph-worker: {NOT_REACHED}\n"


def test_a_task_is_forgotten_by_a_part_of_its_id(store, capsys):
    code, out, _ = call(capsys, "abcd2", "--yes", "--json")
    assert (code, left(store)) == (0, 2)
    assert json.loads(out) == {
        "removed": True,
        "requests": [str(TWO)],
        "threads": 1,
        "threads_kept": [],
        "forks_kept": [],
        "refused": {},
        "memory_items": 0,
    }


def test_what_has_not_ended_stays_and_the_others_go(store, capsys):
    with pytest.raises(NotForgottenError, match="1 request cannot go now"):
        call(capsys, "abcd1", "abcd3", "--yes")
    assert left(store) == 2
    capsys.readouterr()
    with pytest.raises(NotForgottenError):
        call(capsys, "--dag", "other")
    printed = capsys.readouterr()
    assert f"not removed: request {THREE}: it has not ended: cancel it" in printed.out
    assert printed.err == ""  # and not that --yes removes it


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "forget: say what: ids of requests"),
        (["--graph", "g"], "forget: say what: ids of requests"),
        (["abcd1", "--dag", "dag"], "forget: say what: ids of requests"),
        (["abcd1", "--run", "run 0"], "--run: names a DAG run of a DAG; give --dag too"),
        (["abcd1", "--graph", "other"], "--graph: narrows --dag or --thread"),
        (["--memory", "users"], "--memory: each graph has a memory of its own; give --graph too"),
        (["abcd1", "--deployment", "d"], "--deployment: says whose --memory it is"),
    ],
)
def test_a_command_line_that_says_too_little_or_too_much_removes_nothing(store, capsys, words, says):
    with pytest.raises(SettingsError, match=says):
        call(capsys, *words, "--yes")
    assert left(store) == 3


def test_a_run_that_is_not_there_is_named(store, capsys):
    with pytest.raises(NotFoundError, match="has no run 'ffff'"):
        call(capsys, "ffff", "--yes")


@pytest.mark.parametrize("confirmed", [(), ("--yes",)], ids=["dry", "yes"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dag", "dga"], "has no request of --dag 'dga': it was pruned or forgotten, the name is another one"),
        (["--dag", "dag", "--run", "run 9"], "has no request of --dag 'dag' --run 'run 9'"),
        (["--thread", "talk"], "has no request of --thread 'talk'"),
        (["--dag", "dag", "--graph", "grph"], "has no request of --dag 'dag' --graph 'grph'"),
        (["--memory", "users/ann", "--graph", "graph"], "remembers nothing in 'users/ann' for plain requests"),
    ],
)
def test_a_name_that_is_not_there_is_said_and_is_no_success(store, capsys, words, says, confirmed):
    with pytest.raises(NotFoundError, match=says):
        call(capsys, *words, *confirmed)


def test_items_of_a_memory_are_forgotten_by_their_namespace(store, capsys):
    places = [("users", "ann"), ("users", "ann", "notes"), ("users", "anna"), ("prices",)]

    async def remembers() -> None:
        async with opened(store) as desk:
            memories = Memories(desk.store)
            await memories.setup()
            claim = await desk.claim("graph", {}, workflow_run_id="m")
            memory = memories.memory_for(claim)
            await memory.abatch([PutOp(place, "k", {"v": 1}) for place in places])
            await desk.run(claim, chain(a=lambda state: {}))

    asyncio.run(remembers())
    code, out, _ = call(capsys, "--memory", "users/ann", "--graph", "graph")
    assert (code, out) == (2, "to be removed: 2 items of long-term memory\n")
    code, out, _ = call(capsys, "--memory", "users/ann", "--graph", "graph", "--yes")
    assert (code, out) == (0, "removed: 2 items of long-term memory\n")
    elsewhere = r"for deployment 'elsewhere'. It has memory for: plain requests \(2 items\)"
    with pytest.raises(NotFoundError, match=elsewhere):
        call(capsys, "--memory", "/", "--graph", "graph", "--deployment", "elsewhere")
    assert call(capsys, "--memory", "/", "--graph", "graph", "--yes")[1] == "removed: 2 items of long-term memory\n"
