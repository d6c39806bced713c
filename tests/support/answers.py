"""What tests of questions and answers need: runs that ask, answers, and workers that vanish at a chosen moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from langgraph.types import interrupt

from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.models import Claim, Decision
from langgraph_worker.errors import LeaseLostError
from langgraph_worker.execution.runner import Runner
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.polling import until
from tests.support.run_store import LEASE, Clock, attempt, claim_one, event, request
from tests.support.run_store import answer as answer_event
from tests.support.runs import LIMITS, Desk, State
from workflow_events.models import WorkflowEvent
from workflow_events.results import WorkflowResultEvent

TESTS = Path(__file__).resolve().parents[1]  # the project whose classes are stored
GRAPH = "g"
End = Literal["stopped", "killed"]


class Gate:
    """Where the first to come is stopped, and its worker vanishes."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            await self.opened.wait()


@dataclass
class Ran:
    """Makes nodes, and keeps what they did, in order."""

    log: list[str] = field(default_factory=list)

    def asks(self, name: str, *questions: str) -> Callable[[State], Awaitable[State]]:
        """A node that asks one question after the other."""

        async def node(state: State) -> State:
            self.log.append(name)
            said = [f"{question}{interrupt(question)}" for question in questions]
            return {"log": said}

        return node

    def stops(self, name: str, gate: Gate, then: Callable[[State], Awaitable[State]] | None = None) -> Any:
        """A node whose first start is stopped; the others go on, with another node if one is given."""

        async def node(state: State) -> State:
            self.log.append(name)
            await gate()
            return await then(state) if then else {"log": [name]}

        return node

    def passes(self, name: str) -> Callable[[State], State]:
        """A node that does nothing else."""

        def node(state: State) -> State:
            self.log.append(name)
            return {"log": [name]}

        return node


@dataclass
class Answering:
    """A desk whose runs ask and are answered. Its clock moves only when a test moves it."""

    desk: Desk
    clock: Clock
    ran: Ran = field(default_factory=Ran)

    async def accept(self, asked: WorkflowEvent) -> Decision:
        [accepted] = await self.desk.store.accept([request(asked, GRAPH)])
        return accepted.decision

    async def claim(self, asked: WorkflowEvent, decision: Decision = Decision.ANSWER) -> Claim:
        """Accept what is that to the store, and claim it."""
        assert await self.accept(asked) is decision
        claim = await claim_one(self.desk.store, graph=GRAPH)
        assert claim.correlation_id == asked.event_id
        return claim

    async def run(self, claim: Claim, graph: Any) -> WorkflowResultEvent:
        return (await self.desk.run(claim, graph)).result

    async def ask(self, graph: Any, asked: WorkflowEvent | None = None) -> dict[str, str]:
        """Run a first try until it waits: the ids of its questions, by question."""
        claim = await self.claim(asked or event(attempt(1)), Decision.FRESH)
        return questions(await self.run(claim, graph))

    async def answer(self, graph: Any, given: dict[str, Any], **changes: Any) -> WorkflowResultEvent:
        """Answer by ids as the task that asked, and run it."""
        return await self.run(await self.claim(answer_event(attempt(1), given, **changes)), graph)

    async def vanish(self, claim: Claim, graph: Any, gate: Gate, end: End) -> Claim:
        """Run until the gate, where the worker drains or is killed; then the claim of the worker that takes over.

        A killed worker writes nothing any more. This one tries to, once the run has another owner.
        """
        running = asyncio.create_task(self.desk.only_run(claim, graph))
        await gate.reached.wait()
        if end == "stopped":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await self.desk.store.release(claim)
            return await claim_one(self.desk.store, "w2", GRAPH)
        self.clock.advance(LEASE)
        taken = await self._taken_over()
        gate.opened.set()
        with pytest.raises(LeaseLostError):
            await running
        return taken

    async def _taken_over(self) -> Claim:
        """The claim of the next owner. A write of the old one may hold the thread's row, and is not waited for."""
        claims: list[Claim] = []

        async def is_taken() -> bool:
            claims.extend(await self.desk.store.claim("w2", 1, [GRAPH]))
            return bool(claims)

        await until(is_taken, 10)
        return claims[0]


def questions(result: WorkflowResultEvent) -> dict[str, str]:
    """The ids of what a run waits for, by question."""
    assert result.status == "interrupted", result
    return {str(asked.value): asked.id for asked in result.interrupts}


@asynccontextmanager
async def answering(url: str, path: Path) -> AsyncIterator[Answering]:
    """A desk on a database."""
    clock = Clock()
    store = SqlRunStore(url, lease_seconds=LEASE, now=clock)
    await store.open()
    try:
        checkpoints = Checkpoints(store, loadable=LoadableClasses([TESTS]))
        await checkpoints.setup()
        memories = Memories(store)
        await memories.setup()

        def runner(graphs: Graphs) -> Runner:
            return Runner(graphs, checkpoints, memories, store, "w1", LIMITS)

        yield Answering(Desk(store, path, runner), clock)
    finally:
        await store.close()
