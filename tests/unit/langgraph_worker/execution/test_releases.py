"""A run that another release began: it goes on, or fails with both named, as its graph's entry says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.runtime import RunControl
from langgraph.types import interrupt

from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.results import Outcome
from langgraph_worker.graphs.graph_spec import GraphSpec, OnNewRelease
from langgraph_worker.graphs.loader import Graph, Graphs
from tests.support.run_store import answer, claim_one, request
from tests.support.runs import Desk, Failing, State, chain, opened

GRAPH = "g"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as made:
        yield made


async def run(desk: Desk, claim: Claim, graph: Any, policy: OnNewRelease, *, begun_by: str | None = "old") -> Outcome:
    claim = replace(claim, release="new", begun_by=begun_by)
    spec = GraphSpec(GRAPH, "x", False, "x", on_new_release=policy)
    graphs = Graphs({GRAPH: Graph.from_variable(spec, graph)})
    outcome = await desk.runner(graphs).run(claim, RunControl())
    assert await desk.store.finish(claim, outcome.result, outcome.failure)
    return outcome


def passing(state: State) -> State:
    return {"log": ["a"]}


async def failed_run(desk: Desk) -> Any:
    graph = chain(a=passing, b=Failing(1, ValueError("once")))
    assert (await desk.run(await desk.attempt("t", GRAPH), graph)).result.status == "failure"
    return graph


async def test_by_default_a_run_goes_on_with_another_release(desk: Desk) -> None:
    graph = await failed_run(desk)
    result = (await run(desk, await desk.attempt("t", GRAPH), graph, "resume")).result
    assert (result.status, result.release) == ("success", "new")
    assert result.result == {"log": ["a", "b"]}


async def test_a_run_fails_where_its_graph_says_so(desk: Desk) -> None:
    graph = await failed_run(desk)
    result = (await run(desk, await desk.attempt("t", GRAPH), graph, "fail")).result
    assert (result.status, result.error_type) == ("failure", "graph_changed")
    assert "release 'old' began the run, this worker has 'new'" in (result.error or "")
    assert "on_new_release" in (result.error or "")


@pytest.mark.parametrize("begun_by", ["new", None], ids=["the same", "not known"])
async def test_a_run_of_the_same_release_goes_on(desk: Desk, begun_by: str | None) -> None:
    graph = await failed_run(desk)
    result = (await run(desk, await desk.attempt("t", GRAPH), graph, "fail", begun_by=begun_by)).result
    assert result.status == "success"


async def test_an_answer_to_a_question_of_another_release_fails_too(desk: Desk) -> None:
    def asks(state: State) -> State:
        return {"log": [str(interrupt("sure?"))]}

    graph = chain(a=passing, b=asks)
    asked = (await desk.run(await desk.attempt("t", GRAPH), graph)).result
    sent = request(answer(None, {asked.interrupts[0].id: "yes"}), GRAPH)
    await desk.store.accept([sent])
    result = (await run(desk, await claim_one(desk.store, graph=GRAPH), graph, "fail")).result
    assert (result.error_type, result.interrupts) == ("graph_changed", [])
    await desk.store.accept([request(answer(None, {asked.interrupts[0].id: "yes"}), GRAPH)])
    back = await run(desk, await claim_one(desk.store, graph=GRAPH), graph, "fail", begun_by="new")
    assert back.result.result == {"log": ["a", "yes"]}  # the release is back, and the question was still asked
