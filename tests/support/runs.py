"""What tests of single runs need: a worker without Kafka, with the real store and saver, and small graphs."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl
from sqlalchemy import create_engine, select

from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.models import Claim, Lease, Origin, Request
from langgraph_worker.domain.results import Outcome
from langgraph_worker.execution.runner import RunLimits, Runner
from langgraph_worker.execution.turn_queue import TurnQueue
from langgraph_worker.graphs.graph_spec import graph_spec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.store.migrations.schema import step_executions
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.ti_ids import new_ti_id
from workflow_events.models import Attempt, EventSource, EventType, WorkflowEvent, WorkflowEventPayload

TESTS = Path(__file__).resolve().parents[1]  # the project whose classes are stored
LEASE = 60.0
LIMITS = RunLimits(recursion_limit=20, max_step_bytes=200, max_result_bytes=1_000_000)


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
    ran: set[Lease] = field(default_factory=set)
    entry: dict[str, Any] = field(default_factory=dict)
    """Further keys of the graphs' entries in langgraph.json."""

    async def claim(self, graph: str, data: Any = None, **event: Any) -> Claim:
        """A request, accepted and claimed."""
        self.offset += 1
        asked = WorkflowEvent(
            event_type=EventType.WORKFLOW_TRIGGERED,
            source=EventSource.AIRFLOW,
            workflow_id="dag",
            workflow_run_id=event.pop("workflow_run_id", "run"),
            payload=event.pop("payload", WorkflowEventPayload(data={} if data is None else data)),
            **event,
        )
        await self.store.accept([Request(asked, graph, "results", Origin("c", "events", 0, self.offset))])
        (claim,) = await self.store.claim("w1", 1, [graph])
        return claim

    async def attempt(self, task: str, graph: str, data: dict[str, Any] | None = None) -> Claim:
        """The next try of a task."""
        number = self.attempts[task] = self.attempts.get(task, 0) + 1
        tried = Attempt(task=task, id=new_ti_id(), try_number=number, max_tries=5)
        return await self.claim(graph, data, attempt=tried)

    async def only_run(self, claim: Claim, graph: Any, control: RunControl | None = None) -> Outcome:
        """Run a claim on a graph, in a worker that is gone before it can store the end."""
        spec = graph_spec(Path("langgraph.json"), claim.graph, {"path": "x:x", **self.entry})
        graphs = Graphs({claim.graph: Graph.from_variable(spec, graph)})
        if claim.lease in self.ran:
            claim = replace(claim, is_new=False)
        self.ran.add(claim.lease)
        return await self.runner(graphs).run(claim, control or RunControl())

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
async def opened(
    path: Path, turns: Callable[[SqlRunStore], TurnQueue] | None = None, **settings: Any
) -> AsyncIterator[Desk]:
    url = f"sqlite:///{path}"
    store = SqlRunStore(url, lease_seconds=LEASE, **settings)
    queue = None if turns is None else turns(store)
    await store.open()
    try:
        checkpoints = Checkpoints(store, loadable=LoadableClasses([TESTS]))
        await checkpoints.setup()
        memories = Memories(store)
        await memories.setup()

        def runner(graphs: Graphs) -> Runner:
            return Runner(graphs, checkpoints, memories, store, "w1", LIMITS, turns=queue)

        yield Desk(store, path, runner)
    finally:
        if queue is not None:
            queue.close()
        await store.close()


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
