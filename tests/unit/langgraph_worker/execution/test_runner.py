"""What one run gives: its result, its record, its faults; with the real store and saver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from pydantic import BaseModel, TypeAdapter

from langgraph_worker.execution.run_config import run_config
from langgraph_worker.execution.run_values import run_values
from langgraph_worker.graphs.graph_spec import GraphSpec
from tests.support.runs import Desk, Failing, State, chain, opened
from workflow_events.models import RunConfig
from workflow_events.results import ResultStatus


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


async def test_success_gives_the_final_state_and_the_facts(desk):
    claim = await desk.claim("g", {"value": 7})
    result = (await desk.run(claim, chain(a=lambda state: {"log": ["a"]}))).result
    assert result.result == {"value": 7, "log": ["a"]}
    assert (result.status, result.error, result.retriable) == (ResultStatus.SUCCESS, None, None)
    assert (result.correlation_id, result.thread_id, result.worker_id) == (claim.correlation_id, claim.thread_id, "w1")
    assert (result.workflow_id, result.workflow_run_id, result.attempts) == ("dag", "run", 1)
    assert result.started_at <= result.finished_at


async def test_only_the_output_schema_leaves_the_graph(desk):
    class Out(TypedDict):
        value: int

    builder = StateGraph(State, output_schema=Out)
    builder.add_node("a", lambda state: {"value": 1, "log": ["secret"]})
    builder.add_edge(START, "a")
    assert (await desk.run(await desk.claim("g"), builder)).result.result == {"value": 1}


async def test_the_deadline_ends_a_run(desk, monkeypatch):
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    real_time = loop.time

    async def hang(state: State) -> State:
        monkeypatch.setattr(loop, "time", lambda: real_time() + 3600)  # an hour passes for the event loop
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return {}

    claim = await desk.claim("g", deadline=datetime.now(UTC) + timedelta(minutes=30))
    result = (await desk.run(claim, chain(hang=hang))).result
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.TIMEOUT, "deadline", True)
    assert result.error.endswith(
        " UTC passed while the graph was running. Allow the task a longer timeout; its execution_timeout counts too"
    )
    assert stopped.is_set()
    assert [step["status"] for step in desk.steps()] == ["FAILED"]


async def test_a_timeout_of_the_graphs_own_is_no_deadline(desk):
    graph = chain(b=Failing(1, TimeoutError("the exchange is slow")))
    result = (await desk.run(await desk.claim("g"), graph)).result
    assert (result.status, result.error_type) == (ResultStatus.FAILURE, "TimeoutError")


async def test_rejected_input_is_an_error_that_names_the_field(desk):
    class Order(BaseModel):
        quantity: int

    graph = chain(Order, a=lambda order: {})
    outcome = await desk.run(await desk.claim("g", {"quantity": "geheim"}), graph)
    result = outcome.result
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.ERROR, "bad_input", False)
    assert result.error.startswith("the graph rejects its input: Order: quantity: Input should be a valid integer")
    assert "geheim" not in result.error
    assert "ValidationError" in outcome.failure.traceback


async def test_a_validation_error_inside_a_node_is_the_graphs_failure(desk):
    graph = chain(a=lambda state: TypeAdapter(int).validate_python("what the model said"))
    result = (await desk.run(await desk.claim("g"), graph)).result
    assert (result.status, result.error_type) == (ResultStatus.FAILURE, "ValidationError")


async def test_a_node_that_uses_another_thread_fails_its_run_for_good(desk):
    child = chain(c=lambda state: {"log": ["c"]}).compile()

    async def node(state: State, config: RunnableConfig) -> State:
        return await child.ainvoke({}, {**config, "configurable": {**config["configurable"], "thread_id": "other"}})

    result = (await desk.run(await desk.claim("g"), chain(a=node))).result
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.FAILURE, "ForeignThreadError", False)
    assert result.error.startswith("node 'a': ForeignThreadError: the saver of this run is for its thread ")


async def test_a_recursion_limit_can_only_be_lowered(desk):
    class Loop(TypedDict, total=False):
        n: int

    builder = StateGraph(Loop)
    builder.add_node("a", lambda state: {"n": state.get("n", 0) + 1})
    builder.add_edge(START, "a")
    builder.add_edge("a", "a")
    for asked, reached in ((None, 20), (5, 5), (1000, 20)):
        config = RunConfig(recursion_limit=asked)
        outcome = await desk.run(await desk.claim("g", config=config), builder)
        assert outcome.result.error_type == "GraphRecursionError"
        assert f"Recursion limit of {reached} " in outcome.result.error


async def test_what_the_event_chose_reaches_the_nodes(desk):
    seen = {}

    def node(state: State, config: RunnableConfig) -> State:
        seen.update(config)
        return {}

    config = RunConfig(tags=["night"], model="llama3", configurable={"words": 3})
    claim = await desk.claim("g", config=config)
    await desk.run(claim, chain(a=node))
    assert (seen["configurable"]["model"], seen["configurable"]["words"]) == ("llama3", 3)
    assert "night" in seen["tags"]
    assert seen["metadata"]["logical_run"] == str(claim.logical_run)
    assert seen["metadata"]["correlation_id"] == str(claim.correlation_id)


async def test_the_thread_is_never_the_events_choice(desk):
    claim = await desk.claim("g", config=RunConfig(configurable={"words": 3}))
    forged = claim.event.model_copy(
        update={"config": RunConfig.model_construct(configurable={"thread_id": "other"}, tags=[], model=None)}
    )
    values = run_values(forged, GraphSpec("g", "g.py", True, "graph"))
    config = run_config(replace(claim, event=forged), values)
    assert config["configurable"]["thread_id"] == claim.thread_id


async def test_tokens_are_counted_by_model(desk):
    tokens = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    said = AIMessage("hi", usage_metadata=tokens, response_metadata={"model_name": "small"})
    model = GenericFakeChatModel(messages=iter([said, said]))

    def talk(state: State) -> State:
        model.invoke("a")
        model.invoke("b")
        return {}

    usage = (await desk.run(await desk.claim("g"), chain(a=talk))).result.usage
    counts = {"input_tokens": 6, "output_tokens": 8, "total_tokens": 14, "requests": 2}
    assert usage["small"].model_dump(exclude_defaults=True) == counts


async def test_a_result_that_is_no_json_is_an_error_with_its_place(desk):
    graph = chain(a=lambda state: {"value": {"errors": [ValueError("x")]}})
    outcome = await desk.run(await desk.claim("g"), graph)
    assert (outcome.result.status, outcome.result.error_type) == (ResultStatus.ERROR, "result_not_serializable")
    assert "value.errors[0] is a ValueError" in outcome.result.error
    assert outcome.failure is not None


async def test_a_state_that_cannot_be_stored_is_an_error_with_node_and_place(desk):
    graph = chain(a=lambda state: {"log": ["a"]}, b=lambda state: {"value": [slice(1)]})
    result = (await desk.run(await desk.claim("g"), graph)).result
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "result_not_serializable")
    assert "node 'b': value[0] is a slice" in result.error


async def test_a_result_that_is_too_big_is_an_error_with_its_size(desk):
    outcome = await desk.run(await desk.claim("g"), chain(a=lambda state: {"value": "x" * 1_100_000}))
    assert (outcome.result.status, outcome.result.error_type) == (ResultStatus.ERROR, "result_too_large")
    assert outcome.failure.error_type == "result_too_large"


async def test_each_nodes_execution_is_recorded(desk):
    inner = chain(deep=lambda state: {"log": ["deep"]}).compile()
    graph = chain(a=lambda state: {"log": ["x" * 500]}, sub=inner, b=Failing(1, ConnectionError("gone")))
    claim = await desk.claim("g", {"value": 1})
    await desk.run(claim, graph)
    steps = {step["node"]: step for step in desk.steps()}
    assert set(steps) == {"a", "sub", "deep", "b"}
    assert {step["correlation_id"] for step in steps.values()} == {claim.correlation_id}
    assert steps["a"]["input"] == {"value": 1, "log": []}
    assert steps["a"]["output"]["cut"] is True
    assert (steps["a"]["namespace"], steps["deep"]["namespace"].split(":")[0]) == ("", "sub")
    assert (steps["a"]["status"], steps["b"]["status"]) == ("COMPLETED", "FAILED")
    assert steps["b"]["error"] == "ConnectionError: gone"
    assert all(step["finished_at"] >= step["started_at"] for step in steps.values())
