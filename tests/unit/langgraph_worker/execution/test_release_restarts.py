"""A run that another release began starts over, where its graph's entry says ``restart``."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langgraph.types import interrupt
from sqlalchemy import create_engine, text

from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.execution.release_policy import StartOverError
from langgraph_worker.graphs.graph_spec import GraphSpec, OnNewRelease
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.idempotency import idempotency_key
from langgraph_worker.runtime.local_worker import LocalWorker, local_worker
from langgraph_worker.settings.load import load_settings
from langgraph_worker.store.sql.endings import MAX_TAKEOVERS
from tests.support.runs import Desk, State, chain, opened
from tests.support.ti_ids import new_ti_id
from workflow_events.results import ResultStatus, WorkflowResultEvent

GRAPH = "g"
Node = Callable[[State], State]


@dataclass
class Project:
    """One project in several releases, whose workers share a store.

    :ivar keys: the idempotency keys of the first node's executions.
    """

    folder: Path
    policy: OnNewRelease = "restart"
    keys: list[str] = field(default_factory=list)

    def nodes(self, release: str, then: Sequence[Node]) -> Any:
        def first(state: State) -> State:
            self.keys.append(idempotency_key())
            return {"log": [f"a of {release}"]}

        return chain(first=first, **{f"then_{node.__name__}": node for node in then})

    @asynccontextmanager
    async def serving(self, release: str, *then: Node) -> AsyncIterator[LocalWorker]:
        settings = load_settings({"store_url": f"sqlite:///{self.folder / 'store.db'}"})
        spec = GraphSpec(GRAPH, "x", False, "x", on_new_release=self.policy)
        graphs = Graphs({GRAPH: Graph.from_variable(spec, self.nodes(release, then))})
        graphs.release = release
        async with local_worker(settings, graphs, NodeThreads(2)) as worker:
            yield worker

    async def killed_midway(self, release: str, **event: Any) -> Claim:
        """A run whose worker is gone when its first node has ended."""
        async with opened(self.folder / "store.db") as desk:
            claim = await desk.claim(GRAPH, **event)
            await desk.only_run(replace(claim, release=release), self.nodes(release, [fails]))
        return claim

    async def dies_in_turn(self, releases: Sequence[str], **event: Any) -> int:
        """Workers of these releases that take a run and are gone when its first node has ended; how many got it."""
        async with opened(self.folder / "store.db") as desk:
            first = await desk.claim(GRAPH, **event)
            desk.entry = {"on_new_release": self.policy}
            await desk.only_run(replace(first, release=releases[0]), self.nodes(releases[0], [fails]))
        for number, release in enumerate(releases[1:], start=1):
            async with opened(self.folder / "store.db") as desk:
                desk.entry = {"on_new_release": self.policy}
                if not await self._dies(desk, release):
                    return number
        return len(releases)

    async def _dies(self, desk: Desk, release: str) -> bool:
        for _ in range(2):  # the second time it has started over
            claims = await desk.store.claim("w1", 1, [GRAPH])
            if not claims:
                return False
            claim = replace(claims[0], release=release)
            try:
                await desk.only_run(claim, self.nodes(release, [fails]))
            except StartOverError:
                await desk.store.start_over(claim)
            else:
                return True
        raise AssertionError("it starts over twice")

    def count(self, sql: str) -> int:
        engine = create_engine(f"sqlite:///{self.folder / 'store.db'}")
        try:
            with engine.connect() as connection:
                return int(connection.execute(text(sql)).scalar_one())
        finally:
            engine.dispose()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def fails(state: State) -> State:
    raise ValueError("no")


def ends(state: State) -> State:
    return {"log": ["b"]}


def asks(state: State) -> State:
    return {"log": [str(interrupt("sure?"))]}


def asked(number: int | None = 1, **fields: Any) -> dict[str, Any]:
    """An event of the n-th try of a task, or a plain one."""
    tried = {"attempt": {"task": "t", "id": str(new_ti_id()), "try_number": number, "max_tries": 5}} if number else {}
    return {
        "event_id": str(uuid4()),
        "event_type": "workflow.triggered",
        "source": "airflow",
        "workflow_id": "dag",
        "workflow_run_id": "run",
        "graph": GRAPH,
        "payload": {"data": {"log": []}},
        **tried,
        **fields,
    }


def answer(question: WorkflowResultEvent) -> dict[str, Any]:
    given = [{"interrupt_id": one.id, "value": "yes"} for one in question.interrupts]
    return asked(None, event_type="workflow.resumed", round=1, answers=given, payload={"data": {}})


async def test_a_retry_runs_the_new_release_from_its_start(project: Project) -> None:
    async with project.serving("old", fails) as worker:
        assert (await worker.ask(asked(1))).status is ResultStatus.FAILURE
    async with project.serving("new", ends) as worker:
        result = await worker.ask(asked(2))
    assert (result.status, result.result) == (ResultStatus.SUCCESS, {"log": ["a of new", "b"]})
    assert result.release == "new"
    assert len(set(project.keys)) == 2  # what the new run does outside is not taken for a repeat of the old one's


async def test_a_retry_of_the_same_release_goes_on(project: Project) -> None:
    async with project.serving("old", fails) as worker:
        await worker.ask(asked(1))
    async with project.serving("old", fails) as worker:
        await worker.ask(asked(2))
    assert len(project.keys) == 1


async def test_a_run_whose_worker_died_starts_over_in_another_release(project: Project) -> None:
    claim = await project.killed_midway("old")
    async with project.serving("new", ends) as worker:
        result = await worker.ask(claim.event.model_dump(mode="json") | {"graph": GRAPH})
    assert result.result == {"log": ["a of new", "b"]}
    assert (result.attempts, result.thread_id != claim.thread_id) == (3, True)
    left = f"thread_id = '{claim.thread_id}'"
    assert project.count(f"SELECT count(*) FROM threads WHERE {left}") == 0
    assert project.count(f"SELECT count(*) FROM checkpoints WHERE {left}") == 0
    assert project.count("SELECT count(*) FROM checkpoints") > 0


async def test_a_run_that_kills_the_workers_of_two_releases_in_turn_ends(project: Project) -> None:
    """Each release starts it over, so that it comes as far as before each time, and no further."""
    assert await project.dies_in_turn(["old", "new"] * 6) == 1 + MAX_TAKEOVERS
    assert project.count("SELECT count(*) FROM workflow_runs WHERE error_type = 'worker_lost'") == 1


async def test_a_node_that_is_gone_is_no_fault_of_a_run_that_starts_over(project: Project) -> None:
    claim = await project.killed_midway("old")  # with the node then_fails
    async with project.serving("new") as worker:
        result = await worker.ask(claim.event.model_dump(mode="json") | {"graph": GRAPH})
    assert result.result == {"log": ["a of new"]}


async def test_a_conversation_keeps_its_turns_and_the_run_begins_a_new_one(project: Project) -> None:
    async with project.serving("old", ends) as worker:
        await worker.ask(asked(None, thread_id="talk", payload={"data": {"log": ["1"]}}))
    claim = await project.killed_midway("old", thread_id="talk", data={"log": ["2"]})
    async with project.serving("new", ends) as worker:
        result = await worker.ask(claim.event.model_dump(mode="json") | {"graph": GRAPH})
    # The left turn stays in the conversation, as it does after a clear.
    assert result.result == {"log": ["1", "a of old", "b", "2", "a of old", "2", "a of new", "b"]}
    assert result.thread_id == claim.thread_id


async def test_an_answer_to_another_release_is_refused_and_the_task_s_next_try_starts_over(project: Project) -> None:
    async with project.serving("old", asks) as worker:
        question = await worker.ask(asked(1))
    async with project.serving("new", asks) as worker:
        refused = await worker.ask(answer(question))
        assert (refused.status, refused.error_type) == (ResultStatus.ERROR, "interrupt_not_pending")
        assert "release 'old' began the run, this worker has 'new'" in (refused.error or "")
        again = await worker.ask(answer(question))
        assert "is not asked any more" in (again.error or "")
        retry = await worker.ask(asked(2))
        assert retry.status is ResultStatus.INTERRUPTED
        done = await worker.ask(answer(retry))
    assert done.result == {"log": ["a of new", "yes"]}


@pytest.mark.parametrize("policy", ["resume", "fail"])
async def test_other_policies_start_nothing_over(tmp_path: Path, policy: OnNewRelease) -> None:
    project = Project(tmp_path, policy)
    async with project.serving("old", fails) as worker:
        await worker.ask(asked(1))
    async with project.serving("new", fails) as worker:
        result = await worker.ask(asked(2))
    assert result.status is ResultStatus.FAILURE
    assert len(project.keys) == 1


async def test_the_log_names_the_release_of_each_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    project = Project(tmp_path, "resume")
    async with project.serving("old", fails) as worker:
        await worker.ask(asked(1))
    async with project.serving("new", fails) as worker:
        await worker.ask(asked(2))
    first, second = [record for record in caplog.records if getattr(record, "action", None) == "started"]
    assert first.getMessage().endswith(", release old)")
    assert second.getMessage().endswith(", release new; release old began it)")
    assert [(record.attempt, record.release) for record in (first, second)] == [(1, "old"), (1, "new")]
    [resumed] = [record.getMessage() for record in caplog.records if getattr(record, "action", None) == "resumed"]
    assert re.fullmatch(r"resumed: first not run again; goes on with then_fails \(graph \S+, request \S{8}\)", resumed)
