"""Forks of a thread that was trimmed: what `runs checkpoints` still lists begins as it was."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph

from langgraph_worker.checkpoints.history import checkpoints_of
from langgraph_worker.domain.models import Claim, Decision
from langgraph_worker.store.sql import trimming
from tests.support.answers import Answering
from tests.support.run_store import attempt, event
from tests.support.runs import State, chain
from workflow_events.models import EventType, Fork, WorkflowEvent


def fork(claim: Claim, checkpoint_id: str) -> WorkflowEvent:
    name = claim.event.deployment or ""
    given = Fork(of=claim.correlation_id, checkpoint_id=checkpoint_id, deployment=name)
    return event(None, event_type=EventType.WORKFLOW_FORKED, fork=given, data={})


def remembers(seen: list[list[str]]) -> StateGraph[Any]:
    """A graph that calls a child five times, each with a superstep behind it; the child notes what it remembers."""

    async def says(state: State) -> State:
        log = list(state.get("log", []))
        seen.append(log)
        return {"log": [f"call {len(log)}"]}

    child = chain(says=says).compile(checkpointer=True)

    async def calls(state: State) -> State:
        await child.ainvoke({"log": []})
        return {"log": ["called"]}

    builder = StateGraph(State)
    builder.add_node("calls", calls)
    builder.add_node("waits", lambda state: {})
    builder.add_edge(START, "calls")
    builder.add_edge("calls", "waits")
    builder.add_conditional_edges("waits", lambda state: "calls" if len(state["log"]) < 5 else END)
    return builder


async def trim(case: Answering, keep: int) -> None:
    def work(connection: Any, _: Any) -> None:
        done: str | None = ""
        while done is not None:
            done = trimming.trim_unheld(connection, keep, done, 100).done

    await case.desk.store._write(work)


@pytest.mark.parametrize("keep", [2, 3, 4, 5])
async def test_a_fork_of_what_is_left_calls_a_subgraph_with_what_it_kept_until_then(case, keep):
    case.desk.entry["events"] = {"fork": True}
    seen: list[list[str]] = []
    graph = remembers(seen)
    origin = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    whole = (await case.run(origin, graph)).result
    all_calls = [[f"call {call}" for call in range(number)] for number in range(5)]
    assert seen == all_calls
    everything = await checkpoints_of(case.desk.store, origin.thread_id, origin.logical_run)
    await trim(case, keep)
    left = await checkpoints_of(case.desk.store, origin.thread_id, origin.logical_run)
    assert left == everything[len(everything) - len(left) :]
    assert len(left) < len(everything)
    for one in left[:-1]:
        seen.clear()
        forked = await case.run(await case.claim(fork(origin, one.checkpoint_id), Decision.FRESH), graph)
        assert forked.result == whole
        assert seen == all_calls[(one.step + 1) // 2 :]
