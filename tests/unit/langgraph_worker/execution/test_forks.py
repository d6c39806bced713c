"""Runs that begin with a checkpoint of another one; with the real store and saver, on each database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from sqlalchemy import text

from langgraph_worker.checkpoints.forks import copy_state
from langgraph_worker.checkpoints.history import checkpoints_of
from langgraph_worker.domain.accounts import Account
from langgraph_worker.domain.models import Claim, Decision
from langgraph_worker.errors import LeaseLostError
from langgraph_worker.execution.fork_change import change_state
from langgraph_worker.store.sql import trimming
from tests.support.answers import GRAPH, Answering, Gate, questions
from tests.support.paid_models import PaidModel
from tests.support.run_store import LEASE, attempt, claim_one, event
from tests.support.run_store import answer as answer_event
from tests.support.runs import Failing, State, chain
from workflow_events.models import EventType, Fork, WorkflowEvent, WorkflowEventPayload


@pytest.fixture(autouse=True)
def _may_fork(case: Answering) -> None:
    case.desk.entry["events"] = {"fork": True}


async def before(case: Answering, claim: Claim, node: str) -> str:
    """The last checkpoint of a run before a node."""
    found = await checkpoints_of(case.desk.store, claim.thread_id, claim.logical_run)
    return [one.checkpoint_id for one in found if node in one.next][-1]


def fork(
    claim: Claim, checkpoint_id: str, data: Any = None, as_node: str | None = None, **changes: Any
) -> WorkflowEvent:
    name = claim.event.deployment or ""
    given = Fork(of=claim.correlation_id, checkpoint_id=checkpoint_id, as_node=as_node, deployment=name)
    payload = WorkflowEventPayload(data={} if data is None else data)
    return event(None, event_type=EventType.WORKFLOW_FORKED, payload=payload, fork=given, **changes)


async def forked(case: Answering, claim: Claim, node: str, data: Any = None, as_node: str | None = None) -> Claim:
    """The claim of a fork that begins before a node."""
    return await case.claim(fork(claim, await before(case, claim, node), data, as_node), Decision.FRESH)


async def has_run(case: Answering, graph: Any) -> Claim:
    claim = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    await case.run(claim, graph)
    return claim


async def rows(case: Answering, claim: Claim) -> list[str]:
    found = await checkpoints_of(case.desk.store, claim.thread_id, claim.logical_run)
    return [one.checkpoint_id for one in found]


async def test_a_fork_runs_what_comes_behind_its_checkpoint_on_a_thread_of_its_own(case):
    ran = case.ran
    graph = chain(a=ran.passes("a"), b=ran.passes("b"), c=ran.passes("c"))
    origin = await has_run(case, graph)
    kept = await rows(case, origin)
    claim = await forked(case, origin, "b")
    result = await case.run(claim, graph)
    assert (result.status, result.result) == ("success", {"log": ["a", "b", "c"]})
    assert ran.log == ["a", "b", "c", "b", "c"]
    assert (claim.thread_id != origin.thread_id, claim.logical_run != origin.logical_run) == (True, True)
    assert await rows(case, origin) == kept
    assert len(await rows(case, claim)) == 3  # the copy, b and c


async def test_a_fork_changes_the_state_in_the_name_of_a_node(case):
    ran = case.ran
    graph = chain(a=ran.passes("a"), b=ran.passes("b"), c=ran.passes("c"))
    origin = await has_run(case, graph)
    result = await case.run(await forked(case, origin, "b", {"log": ["by hand"]}, "b"), graph)
    assert result.result == {"log": ["a", "by hand", "c"]}
    assert ran.log == ["a", "b", "c", "c"]


async def test_a_fork_that_changes_the_state_without_a_name_runs_the_next_node_with_it(case):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    origin = await has_run(case, graph)
    result = await case.run(await forked(case, origin, "b", {"value": 7}), graph)
    assert result.result == {"log": ["a", "b"], "value": 7}


async def test_a_fork_of_a_fork_begins_where_its_origin_did(case):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    first = await forked(case, await has_run(case, graph), "b")
    await case.run(first, graph)
    second = await forked(case, first, "b")
    assert (await case.run(second, graph)).result == {"log": ["a", "b"]}


@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_a_fork_that_is_taken_over_goes_on_with_its_own_checkpoint(case, end):
    ran, gate = case.ran, Gate()
    origin = await has_run(case, chain(a=ran.passes("a"), b=ran.passes("b"), c=ran.passes("c")))
    graph = chain(a=ran.passes("a"), b=ran.passes("b"), c=ran.stops("c", gate))
    taken = await case.vanish(await forked(case, origin, "b"), graph, gate, end)
    assert (await case.run(taken, graph)).result == {"log": ["a", "b", "c"]}
    assert ran.log == ["a", "b", "c", "b", "c", "c"]


async def test_a_change_of_the_state_that_a_crash_cut_off_is_made_once(case, monkeypatch):
    ran, gate = case.ran, Gate()
    graph = chain(a=ran.passes("a"), b=ran.passes("b"))
    origin = await has_run(case, graph)

    async def stops(*given: Any) -> None:
        await gate()
        await change_state(*given)

    monkeypatch.setattr("langgraph_worker.execution.fork_start.change_state", stops)
    taken = await case.vanish(await forked(case, origin, "b", {"log": ["more"]}), graph, gate, "killed")
    assert (await case.run(taken, graph)).result == {"log": ["a", "more", "b"]}


async def test_an_owner_that_is_over_copies_nothing(case, monkeypatch):
    ran, gate = case.ran, Gate()
    graph = chain(a=ran.passes("a"), b=ran.passes("b"))
    origin = await has_run(case, graph)

    async def stops(*given: Any) -> bool:
        await gate()
        return await copy_state(*given)

    monkeypatch.setattr("langgraph_worker.execution.fork_start.copy_state", stops)
    claim = await forked(case, origin, "b")
    running = asyncio.create_task(case.desk.only_run(claim, graph))
    await gate.reached.wait()
    case.clock.advance(LEASE)
    taken = await claim_one(case.desk.store, "w2", GRAPH)
    gate.opened.set()
    with pytest.raises(LeaseLostError):
        await running
    assert await rows(case, taken) == []
    assert (await case.run(taken, graph)).result == {"log": ["a", "b"]}


async def test_a_change_of_the_state_is_not_made_again_behind_it(case):
    ran, gate = case.ran, Gate()
    origin = await has_run(case, chain(a=ran.passes("a"), b=ran.passes("b"), c=ran.passes("c")))
    graph = chain(a=ran.passes("a"), b=ran.passes("b"), c=ran.stops("c", gate))
    taken = await case.vanish(await forked(case, origin, "b", {"log": ["more"]}), graph, gate, "killed")
    assert (await case.run(taken, graph)).result == {"log": ["a", "more", "b", "c"]}
    assert ran.log == ["a", "b", "c", "b", "c", "c"]


async def test_a_retry_of_a_fork_goes_on_with_its_own_checkpoint(case):
    ran = case.ran
    origin = await has_run(case, chain(a=ran.passes("a"), b=ran.passes("b"), c=ran.passes("c")))
    graph = chain(a=ran.passes("a"), b=ran.passes("b"), c=Failing(1, ValueError("once")))
    asked = fork(origin, await before(case, origin, "b"))
    tries = [attempt(number, task="f" * 64, at=number + 9_000) for number in (1, 2)]
    first = event(tries[0], event_type=asked.event_type, payload=asked.payload, fork=asked.fork)
    assert (await case.run(await case.claim(first, Decision.FRESH), graph)).status == "failure"
    again = event(tries[1], event_type=asked.event_type, payload=asked.payload, fork=asked.fork)
    result = await case.run(await case.claim(again, Decision.RESUMED), graph)
    assert result.result == {"log": ["a", "b", "b"]}
    assert ran.log == ["a", "b", "c", "b"]


async def test_a_fork_asks_again_what_its_origin_asked_and_both_are_answered(case):
    graph = chain(a=case.ran.passes("a"), b=case.ran.asks("b", "go? "))
    origin = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    asked = questions(await case.run(origin, graph))
    claim = await forked(case, origin, "b")
    again = questions(await case.run(claim, graph))
    assert again.keys() == asked.keys()
    given = answer_event(None, {again["go? "]: "no"}, answers_to=claim.correlation_id)
    assert (await case.run(await case.claim(given), graph)).result == {"log": ["a", "go? no"]}
    assert (await case.answer(graph, {asked["go? "]: "yes"})).result == {"log": ["a", "go? yes"]}


async def test_what_a_person_had_answered_is_asked_again_behind_the_checkpoint(case):
    graph = chain(a=case.ran.asks("a", "go? "), b=case.ran.passes("b"))
    origin = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    asked = questions(await case.run(origin, graph))
    assert (await case.answer(graph, {asked["go? "]: "yes"})).status == "success"
    assert questions(await case.run(await forked(case, origin, "a"), graph)).keys() == {"go? "}


async def test_deltas_and_the_state_of_a_subgraph_are_as_they_were(case):
    class Deltas(TypedDict, total=False):
        log: Annotated[list[str], DeltaChannel(lambda old, new: [*old, *(part for one in new for part in one)])]

    seen: list[list[str]] = []

    def remembers(state: State) -> State:
        seen.append(list(state.get("log", [])))
        return {"log": [f"call {len(state.get('log', []))}"]}

    child = chain(remember=remembers).compile(checkpointer=True)

    def calls(state: Any) -> Any:
        child.invoke({"log": []})
        return {"log": ["x"]}

    builder = StateGraph(Deltas)
    builder.add_node("a", calls)
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: "a" if len(state["log"]) < 3 else END)
    origin = await has_run(case, builder)
    assert seen == [[], ["call 0"], ["call 0", "call 1"]]
    second = await checkpoints_of(case.desk.store, origin.thread_id, origin.logical_run)
    [place] = [one.checkpoint_id for one in second if one.step == 1]
    result = await case.run(await case.claim(fork(origin, place), Decision.FRESH), builder)
    assert result.result == {"log": ["x", "x", "x"]}
    assert seen[3:] == [["call 0"], ["call 0", "call 1"]]


async def test_calls_of_the_origin_count_for_no_budget_of_the_fork(case):
    model, gate = PaidModel(), Gate()

    def asks(state: Any) -> Any:
        return {"value": [*state.get("value", []), model.invoke("?")]}

    async def stops(state: Any) -> Any:
        await gate()
        return {}

    origin = await has_run(case, chain(a=asks, b=asks))
    graph = chain(a=asks, b=asks, c=stops)
    taken = await case.vanish(await forked(case, origin, "b"), graph, gate, "killed")
    result = await case.run(taken, graph)
    assert (result.status, model.calls) == ("success", 3)
    assert sum(used.requests for used in result.usage.values()) == 1


async def refused(case: Answering, graph: Any, claim: Claim) -> tuple[str | None, str]:
    result = await case.run(claim, graph)
    assert result.status in ("error", "failure")
    return result.error_type, result.error or ""


async def test_what_cannot_be_forked_is_answered_with_the_field_and_the_remedy(case):
    ran = case.ran
    graph = chain(a=ran.passes("a"), b=ran.passes("b"))
    origin = await has_run(case, graph)
    place = await before(case, origin, "b")

    async def error_of(asked: WorkflowEvent, of: Any = graph) -> tuple[str | None, str]:
        return await refused(case, of, await case.claim(asked, Decision.FRESH))

    name, text = await error_of(fork(origin, "1f0c0000-0000-6000-8000-000000000000"))
    assert name == "checkpoint_gone"
    assert "field 'fork.checkpoint_id': checkpoint '1f0c0000" in text
    assert "runs checkpoints" in text
    unknown = event(None)
    name, text = await error_of(fork(replace(origin, event=unknown), place))
    assert (name, str(unknown.event_id) in text, "was pruned, or is another fleet's" in text) == (
        "checkpoint_gone", True, True
    )  # fmt: skip
    name, text = await error_of(fork(origin, place, {"value": 1}, "nowhere"))
    assert (name, text) == ("bad_input", "field 'fork.as_node': graph 'g' has no node 'nowhere'. It has: a, b")
    name, text = await error_of(fork(origin, place), chain(a=ran.passes("a"), c=ran.passes("c")))
    assert (name, "'b'" in text) == ("graph_changed", True)
    case.desk.entry["events"] = {}
    name, text = await error_of(fork(origin, place))
    assert (name, '{"events": {"fork": true}}' in text) == ("input_not_allowed", True)
    assert ran.log == ["a", "b"]


async def test_a_checkpoint_that_is_trimmed_at_the_last_moment_is_no_start_from_the_beginning(case, monkeypatch):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    origin = await has_run(case, graph)
    claim = await forked(case, origin, "b")

    async def copies_nothing(*_: Any) -> bool:
        return True

    monkeypatch.setattr("langgraph_worker.execution.fork_start.copy_state", copies_nothing)
    assert await refused(case, graph, claim) == (
        "checkpoint_gone",
        f"field 'fork.checkpoint_id': checkpoint '{claim.event.fork.checkpoint_id}' of request {origin.correlation_id} "
        "is not there any more. Choose one that `langgraph-worker runs checkpoints` lists",
    )


async def test_the_graph_of_the_origin_is_the_forks(case):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    origin = await case.desk.claim("other", {})
    await case.desk.run(origin, graph)
    name, text = await refused(case, graph, await forked(case, origin, "b"))
    assert (name, "ran graph 'other', and the fork is to run 'g'" in text) == ("bad_input", True)


@pytest.mark.parametrize("policy", ["fail", "restart"])
async def test_a_graph_that_no_other_release_may_go_on_with_is_not_forked_either(case, policy):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    case.desk.entry["on_new_release"] = policy
    claim = await case.claim(event(attempt(1), data={}), Decision.FRESH)
    await case.run(replace(claim, release="one"), graph)
    made = replace(await forked(case, claim, "b"), release="two")
    name, text = await refused(case, graph, made)
    assert (name, "release 'one' wrote the checkpoint, this worker has 'two'" in text) == ("graph_changed", True)


async def test_two_forks_of_one_checkpoint_do_not_meet(case):
    ran = case.ran
    graph = chain(a=ran.passes("a"), b=ran.passes("b"))
    origin = await has_run(case, graph)
    claims = [await forked(case, origin, "b", {"value": number}) for number in (1, 2)]
    results = await asyncio.gather(*(case.run(claim, graph) for claim in claims))
    assert [result.result["value"] for result in results] == [1, 2]


async def test_a_fork_has_the_memory_and_the_account_of_its_origins_task(case):
    found = []

    async def reads(state: State, runtime: Runtime) -> State:
        item = await runtime.store.aget(("people",), "who")
        found.append(item and item.value["name"])
        await runtime.store.aput(("people",), "who", {"name": "Ada"})
        return {}

    graph = chain(a=case.ran.passes("a"), b=reads)
    origin = await has_run(case, graph)
    asked = fork(origin, await before(case, origin, "b"))
    asked = asked.model_copy(update={"fork": asked.fork.model_copy(update={"run_start": origin.event.run_start})})
    claim = await case.claim(asked, Decision.FRESH)
    assert (await case.run(claim, graph)).status == "success"
    assert (found, claim.deployment) == ([None, "Ada"], "here")
    assert Account.of(claim.event, GRAPH) == Account.of(origin.event, GRAPH)


async def test_a_fork_of_another_deployments_run_is_refused(case):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    origin = await has_run(case, graph)
    asked = fork(origin, await before(case, origin, "b"))
    other = event(
        attempt(1, at=7_000, task="x" * 64, deployment="elsewhere"),
        event_type=asked.event_type,
        fork=asked.fork,
        data={},
    )
    name, text = await refused(case, graph, await case.claim(other, Decision.FRESH))
    assert (name, "was asked by another Airflow installation" in text) == ("input_not_allowed", True)


async def test_a_checkpoint_of_another_run_of_the_thread_is_not_forked(case):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    ran = []
    for at in (1, 2):
        asked = event(attempt(1, at=at, task=str(at) * 64), data={}, thread_id="talk")
        ran.append(await case.claim(asked, Decision.FRESH))
        await case.run(ran[-1], graph)
    one, two = ran
    name, text = await refused(case, graph, await case.claim(fork(two, await before(case, one, "b")), Decision.FRESH))
    assert (name, "is not there" in text) == ("checkpoint_gone", True)


@pytest.mark.parametrize(
    ("node", "data", "as_node", "says"),
    [
        ("__start__", {"log": ["x"]}, None, "field 'payload.data': at the checkpoint before the first node"),
        (
            "b",
            {"amount": 1},
            "b",
            "field 'payload.data': the state of graph 'g' has no key 'amount'. It has: log, value",
        ),
        ("b", {"log": 5}, "b", "field 'payload.data': the graph's state does not take it: TypeError"),
        ("b", {"log": ["x"]}, "__copy__", "field 'fork.as_node': graph 'g' has no node '__copy__'"),
        ("b", {"log": ["x"]}, "__input__", "field 'fork.as_node': graph 'g' has no node '__input__'"),
    ],
)
async def test_a_change_that_langgraph_would_drop_or_take_for_another_is_refused(case, node, data, as_node, says):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    origin = await has_run(case, graph)
    name, text = await refused(case, graph, await forked(case, origin, node, data, as_node))
    assert (name, text[: len(says)]) == ("bad_input", says)
    assert case.ran.log == ["a", "b"]


async def test_a_workflow_is_forked_without_a_change_of_its_state(case):
    @entrypoint()
    async def flow(data: Any) -> Any:
        case.ran.log.append("flow")
        return {"log": ["done"]}

    origin = await has_run(case, flow)
    assert (await case.run(await forked(case, origin, "__start__"), flow)).result == {"log": ["done"]}
    name, text = await refused(case, flow, await forked(case, origin, "__start__", {"v": 1}))
    assert (name, "is a workflow, which has no state to change" in text) == ("bad_input", True)


async def test_a_fork_under_way_goes_on_although_its_first_checkpoint_is_gone(case):
    ran, gate = case.ran, Gate()
    names = [f"n{number}" for number in range(8)]
    origin = await has_run(case, chain(**{name: ran.passes(name) for name in names}))
    graph = chain(**{name: ran.passes(name) for name in names[:-1]}, n7=ran.stops("n7", gate))
    taken = await case.vanish(await forked(case, origin, "n1"), graph, gate, "stopped")

    def trim_all(connection: Any, _: Any) -> int:
        return trimming.trim(connection, [origin.thread_id, taken.thread_id], 1)

    assert await case.desk.store._write(trim_all) > 8
    assert (await case.run(taken, graph)).result == {"log": names}


async def test_a_node_that_waits_for_all_others_can_be_chosen(case):
    builder = StateGraph(State)
    for name in ("a", "b"):
        builder.add_node(name, case.ran.passes(name))
        builder.add_edge(START, name)
    builder.add_node("c", case.ran.passes("c"), defer=True)
    builder.add_edge(["a", "b"], "c")
    origin = await has_run(case, builder)
    result = await case.run(await forked(case, origin, "c"), builder)
    assert result.result == {"log": ["a", "b", "c"]}
    assert sorted(case.ran.log) == ["a", "b", "c", "c"]


async def test_what_is_trimmed_between_the_statements_of_the_copy_leaves_no_half_of_a_checkpoint(case, monkeypatch):
    graph = chain(a=case.ran.passes("a"), b=case.ran.passes("b"))
    origin = await has_run(case, graph)
    claim = await forked(case, origin, "b")
    database = case.desk.store.database
    execute = database.execute

    def interleaved(connection: Any, statements: Any) -> None:
        for number, statement in enumerate(statements):
            execute(connection, [statement])
            if number == 0 and statement.sql.startswith("INSERT") and "SELECT" in statement.sql:
                gone = text("DELETE FROM checkpoints WHERE thread_id = :thread")
                connection.execute(gone, {"thread": origin.thread_id})

    monkeypatch.setattr(database, "execute", interleaved)
    if connection_is_postgres(case):
        assert (await refused(case, graph, claim))[0] == "checkpoint_gone"


def connection_is_postgres(case: Answering) -> bool:
    return "postgres" in type(case.desk.store.database).__name__.lower()
