"""One run on its thread: what is started, continued, answered again, refused; with the real store and saver."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt
from sqlalchemy import create_engine, select

from langgraph_worker.checkpoints.sqlite import open_saver
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.graphs.manifest import GraphSpec
from langgraph_worker.outcome import Outcome
from langgraph_worker.run import Runner, run_config
from langgraph_worker.store.port import Claim, Origin, Request
from langgraph_worker.store.schema import step_executions
from langgraph_worker.store.sql import SqlRunStore
from workflow_events.models import Attempt, EventSource, EventType, RunConfig, WorkflowEvent, WorkflowEventPayload
from workflow_events.results import ResultStatus

LEASE = 60.0


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    value: Any


def chain(schema: Any = State, /, **nodes: Any) -> StateGraph:
    builder = StateGraph(schema)
    before = START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    return builder


@dataclass
class Desk:
    """A worker without Kafka: accepts, claims and runs."""

    store: SqlRunStore
    path: Path
    runner: Callable[[Graphs], Runner]
    offset: int = 0
    attempts: dict[str, int] = field(default_factory=dict)

    async def claim(self, graph: str, data: dict[str, Any] | None = None, **event: Any) -> Claim:
        """A request, accepted and claimed."""
        self.offset += 1
        asked = WorkflowEvent(
            event_type=EventType.WORKFLOW_TRIGGERED,
            source=EventSource.AIRFLOW,
            workflow_id="dag",
            workflow_run_id="run",
            payload=WorkflowEventPayload(data=data or {}),
            **event,
        )
        await self.store.accept([Request(asked, graph, "results", Origin("c", "events", 0, self.offset))])
        (claim,) = await self.store.claim("w1", 1, [graph])
        return claim

    async def attempt(self, task: str, graph: str, data: dict[str, Any] | None = None) -> Claim:
        """The next try of a task."""
        number = self.attempts[task] = self.attempts.get(task, 0) + 1
        tried = Attempt(task=task, id=uuid4(), try_number=number, max_tries=5)
        return await self.claim(graph, data, attempt=tried)

    async def only_run(self, claim: Claim, graph: Any) -> Outcome:
        """Run a claim on a graph, in a worker that is gone before it can store the end."""
        graphs = Graphs({claim.graph: Graph(GraphSpec(claim.graph, "x", False, "x"), graph)}, InMemoryStore())
        return await self.runner(graphs).run(claim)

    async def run(self, claim: Claim, graph: Any) -> Outcome:
        """Run a claim on a graph, and store its end."""
        outcome = await self.only_run(claim, graph)
        assert await self.store.finish(claim, outcome.result, outcome.failure)
        return outcome

    def steps(self) -> list[dict[str, Any]]:
        """What is recorded."""
        engine = create_engine(f"sqlite:///{self.path}")
        try:
            with engine.connect() as connection:
                return [dict(row) for row in connection.execute(select(step_executions)).mappings()]
        finally:
            engine.dispose()


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Desk]:
    url = f"sqlite:///{path}"
    store = SqlRunStore(url, lease_seconds=LEASE)
    await store.open()
    try:
        async with open_saver(url) as saver:

            def runner(graphs: Graphs) -> Runner:
                return Runner(
                    graphs,
                    saver,
                    store,
                    worker_id="w1",
                    recursion_limit=20,
                    max_step_bytes=200,
                    max_result_bytes=1_000_000,
                )

            yield Desk(store, path, runner)
    finally:
        await store.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


class Failing:
    """A node that fails so often, then passes."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.error = error

    def __call__(self, state: State) -> State:
        if self.left:
            self.left -= 1
            raise self.error
        return {"log": ["b"]}


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
    assert (result.status, result.interrupts, result.result) == (ResultStatus.INTERRUPTED, [], {"log": ["a"]})


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


async def test_the_deadline_ends_a_run(desk):
    import asyncio

    stopped = asyncio.Event()

    async def hang(state: State) -> State:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return {}

    claim = await desk.claim("g", deadline=datetime.now(UTC) + timedelta(seconds=0.3))
    result = (await desk.run(claim, chain(hang=hang))).result
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.TIMEOUT, "deadline", True)
    assert stopped.is_set()
    assert [step["status"] for step in desk.steps()] == ["FAILED"]


async def test_a_timeout_of_the_graphs_own_is_no_deadline(desk):
    graph = chain(b=Failing(1, TimeoutError("the exchange is slow")))
    result = (await desk.run(await desk.claim("g"), graph)).result
    assert (result.status, result.error_type) == (ResultStatus.FAILURE, "TimeoutError")


async def test_rejected_input_is_an_error_that_names_the_field(desk):
    from pydantic import BaseModel

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
    from pydantic import TypeAdapter

    graph = chain(a=lambda state: TypeAdapter(int).validate_python("what the model said"))
    result = (await desk.run(await desk.claim("g"), graph)).result
    assert (result.status, result.error_type) == (ResultStatus.FAILURE, "ValidationError")


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
    own = builder.compile().with_config(recursion_limit=3)
    assert "Recursion limit of 3 " in (await desk.run(await desk.claim("g"), own)).result.error


async def test_what_the_event_chose_reaches_the_nodes(desk):
    seen = {}

    def node(state: State, config: Any) -> State:
        seen.update(config)
        return {}

    from langchain_core.runnables import RunnableConfig

    node.__annotations__["config"] = RunnableConfig
    config = RunConfig(tags=["night"], model="llama3", configurable={"words": 3})
    claim = await desk.claim("g", config=config)
    await desk.run(claim, chain(a=node))
    assert (seen["configurable"]["model"], seen["configurable"]["words"]) == ("llama3", 3)
    assert "night" in seen["tags"]
    assert seen["metadata"]["run_id"] == str(claim.logical_run)
    assert seen["metadata"]["correlation_id"] == str(claim.correlation_id)


async def test_the_thread_is_never_the_events_choice(desk):
    claim = await desk.claim("g", config=RunConfig(configurable={"words": 3}))
    forged = claim.event.model_copy(
        update={"config": RunConfig.model_construct(configurable={"thread_id": "other"}, tags=[], model=None)}
    )
    config = run_config(replace(claim, event=forged), 20, None)
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
    assert usage["small"].model_dump() == {"input_tokens": 6, "output_tokens": 8, "total_tokens": 14}


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
