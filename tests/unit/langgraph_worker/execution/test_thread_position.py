"""Where a run takes up its thread: started, continued, answered again, refused; with the real store and saver."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langgraph.types import interrupt

from langgraph_worker.store.engines import sqlite as sqlite_store
from tests.support.runs import Desk, Failing, State, chain, opened
from workflow_events.results import ResultStatus


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


async def test_a_retry_runs_only_what_is_unfinished(desk):
    ran = []

    def first(state: State) -> State:
        ran.append("a")
        return {"log": ["a"]}

    graph = chain(a=first, b=Failing(1, ConnectionError("gone")))
    failed = (await desk.run(await desk.attempt("t", "g", {"value": 1}), graph)).result
    assert (failed.status, failed.error_type, failed.retriable) == (ResultStatus.FAILURE, "ConnectionError", True)
    assert failed.error == "node 'b': ConnectionError: gone"
    assert failed.result is None
    again = await desk.attempt("t", "g", {"value": 1})
    assert again.resumes
    done = (await desk.run(again, graph)).result
    assert done.result == {"value": 1, "log": ["a", "b"]}
    assert ran == ["a"]


async def test_a_run_that_finished_before_it_was_stored_gives_its_state_without_a_node(desk):
    ran = []

    def node(state: State) -> State:
        ran.append("a")
        return {"log": ["a"]}

    claim = await desk.claim("g", {"value": 1})
    before = await desk.only_run(claim, chain(a=node))
    after = await desk.run(claim, chain(a=node))
    assert after.result.result == before.result.result == {"value": 1, "log": ["a"]}
    assert ran == ["a"]


async def test_another_request_on_a_shared_thread_is_a_new_turn(desk):
    graph = chain(a=lambda state: {"log": [f"saw {state['value']}"]})
    first = await desk.claim("g", {"value": 1}, thread_id="chat")
    await desk.run(first, graph)
    second = await desk.claim("g", {"value": 2}, thread_id="chat")
    assert second.thread_id == first.thread_id
    assert (await desk.run(second, graph)).result.result == {"value": 2, "log": ["saw 1", "saw 2"]}


async def test_an_interrupted_run_says_what_it_waits_for_and_again_without_a_node(desk):
    ran = []

    def ask(state: State) -> State:
        ran.append("ask")
        return {"value": interrupt({"question": "Buy?"})}

    claim = await desk.claim("g")
    first = (await desk.only_run(claim, chain(ask=ask))).result
    assert first.status is ResultStatus.INTERRUPTED
    assert [asked.value for asked in first.interrupts] == [{"question": "Buy?"}]
    second = (await desk.run(claim, chain(ask=ask))).result
    assert (second.status, second.interrupts) == (ResultStatus.INTERRUPTED, first.interrupts)
    assert ran == ["ask"]


async def test_a_breakpoint_waits_for_a_person_too(desk):
    graph = chain(a=lambda state: {"log": ["a"]}, b=lambda state: {"log": ["b"]}).compile(interrupt_before=["b"])
    result = (await desk.run(await desk.claim("g"), graph)).result
    assert (result.status, result.result) == (ResultStatus.INTERRUPTED, {"log": ["a"]})
    assert [asked.value for asked in result.interrupts] == [{"before": ["b"]}]


@pytest.mark.parametrize("where", [{"interrupt_before": ["b"]}, {"interrupt_before": "*"}, {"interrupt_after": ["a"]}])
async def test_a_breakpoint_still_waits_after_a_takeover(desk, where):
    graph = chain(a=lambda state: {"log": ["a"]}, b=lambda state: {"log": ["b"]}).compile(**where)
    claim = await desk.claim("g")
    before = await desk.only_run(claim, graph)
    assert before.result.status is ResultStatus.INTERRUPTED
    after = await desk.run(claim, graph)
    assert after.result.status is ResultStatus.INTERRUPTED
    assert "b" not in (after.result.result["log"] or [])


async def test_a_graph_that_lost_a_node_is_not_continued(desk):
    failing = Failing(1, ConnectionError())
    await desk.run(await desk.attempt("t", "g"), chain(a=lambda state: {}, b=failing))
    result = (await desk.run(await desk.attempt("t", "g"), chain(a=lambda state: {}, renamed=failing))).result
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.FAILURE, "graph_changed", False)
    assert "no longer has the node 'b'" in result.error


async def test_a_graph_that_only_gained_a_node_goes_on(desk):
    failing = Failing(1, ConnectionError())
    await desk.run(await desk.attempt("t", "g"), chain(a=lambda state: {}, b=failing))
    longer = chain(a=lambda state: {}, b=failing, c=lambda state: {"log": ["c"]})
    result = (await desk.run(await desk.attempt("t", "g"), longer)).result
    assert result.result == {"log": ["b", "c"]}


async def test_a_run_that_is_taken_over_goes_on_in_another_process(desk, tmp_path):
    claim = await desk.claim("g", {"value": 1})
    graph = chain(a=lambda state: {"log": ["a"]}, b=Failing(1, ConnectionError()))
    await desk.only_run(claim, graph)
    await desk.store.close()
    async with opened(tmp_path / "store.db") as other:
        (taken,) = await other.store.claim("w2", 1, ["g"])
        assert (taken.correlation_id, taken.attempts) == (claim.correlation_id, 2)
        result = (await other.run(taken, graph)).result
    assert (result.result, result.attempts) == ({"value": 1, "log": ["a", "b"]}, 2)


async def test_the_functional_api_runs_too(desk):
    from langgraph.func import entrypoint, task

    @task
    def double(number: int) -> int:
        return number * 2

    @entrypoint()
    async def flow(data: dict[str, int]) -> dict[str, int]:
        return {"value": await double(data["value"])}

    claim = await desk.claim("g", {"value": 4})
    assert (await desk.only_run(claim, flow)).result.result == {"value": 8}
    assert (await desk.run(claim, flow)).result.result == {"value": 8}


async def test_a_question_inside_a_subgraph_reaches_the_top(desk):
    inner = chain(ask=lambda state: {"value": interrupt("deep?")}).compile()
    claim = await desk.claim("g")
    first = (await desk.only_run(claim, chain(sub=inner))).result
    assert [asked.value for asked in first.interrupts] == ["deep?"]
    assert (await desk.run(claim, chain(sub=inner))).result.interrupts == first.interrupts


async def test_a_checkpoint_waits_for_the_database(tmp_path, monkeypatch, caplog):
    path = tmp_path / "store.db"
    monkeypatch.setattr(sqlite_store, "_BUSY_SECONDS", 0.1)

    def lock(state: State) -> State:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.6, other.close).start()
        return {"log": ["locked"]}

    async with opened(path) as desk:
        claim = await desk.claim("g")
        done = (await desk.run(claim, chain(lock=lock))).result
    assert done.result == {"log": ["locked"]}
    assert "cannot write a checkpoint, trying again" in caplog.text
