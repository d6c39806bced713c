"""Workers that vanish around an answer: it is given once, and asked for once; with the real store and saver."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from langgraph_worker.domain.models import Claim, Decision
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.answers import Answering, Gate, questions
from tests.support.run_store import LEASE, answer, attempt, claim_one, event
from tests.support.runs import Failing, State, chain
from workflow_events.results import ResultStatus

ENDS = pytest.mark.parametrize("end", ["stopped", "killed"])


async def answered(case: Answering, given: dict[str, str], number: int = 1) -> Claim:
    return await case.claim(answer(attempt(1), given, round=number))


async def unstored(case: Answering, claim: Claim, graph) -> Claim:
    """Run to the end in a worker that vanishes before it has stored it; then the claim of the next."""
    await case.desk.only_run(claim, graph)
    case.clock.advance(LEASE)
    return await claim_one(case.desk.store, "w2", "g")


@ENDS
async def test_an_answer_that_a_checkpoint_holds_is_not_given_again(case, end):
    gate = Gate()
    graph = chain(ask=case.ran.asks("ask", "buy? "), hang=case.ran.stops("hang", gate))
    asked = await case.ask(graph)
    claim = await answered(case, {asked["buy? "]: "yes"})
    taken = await case.vanish(claim, graph, gate, end)
    assert (taken.answers, taken.answered) == ({}, frozenset({asked["buy? "]}))
    assert (await case.run(taken, graph)).result == {"log": ["buy? yes", "hang"]}
    assert case.ran.log == ["ask", "ask", "hang", "hang"]


@ENDS
async def test_an_answer_that_did_not_reach_its_question_is_given_again(case, end):
    gate, asks = Gate(), case.ran.asks("ask", "buy? ")
    asked = await case.ask(chain(ask=asks))
    claim = await answered(case, {asked["buy? "]: "yes"})
    graph = chain(ask=case.ran.stops("stopped", gate, then=asks))
    taken = await case.vanish(claim, graph, gate, end)
    assert (taken.answers, taken.answered) == ({asked["buy? "]: "yes"}, frozenset())
    assert (await case.run(taken, graph)).result == {"log": ["buy? yes"]}


@pytest.mark.parametrize(("end", "kept"), [("stopped", True), ("killed", False)])
async def test_a_node_that_had_its_answer_when_the_worker_vanished_has_it_again(case, end, kept):
    """A worker that drains keeps it with the thread; one that is killed has written nothing of the node."""
    gate = Gate()

    async def ask(state: State) -> State:
        said = interrupt("one?")
        await gate()
        return {"log": [said, interrupt("two?")]}

    asked = await case.ask(chain(ask=ask))
    claim = await answered(case, {asked["one?"]: "first"})
    taken = await case.vanish(claim, chain(ask=ask), gate, end)
    assert (taken.answers == {}, taken.answered == frozenset({asked["one?"]})) == (kept, kept)
    left = questions(await case.run(taken, chain(ask=ask)))
    assert list(left) == ["two?"]
    assert (await case.answer(chain(ask=ask), {left["two?"]: "second"}, round=2)).result["log"] == ["first", "second"]


async def test_an_answer_for_a_subgraph_is_not_taken_for_given_by_a_node_that_had_one_itself(case):
    gate = Gate()
    inner = chain(ask=case.ran.asks("inner", "deep? ")).compile()

    async def ask(state: State) -> State:
        own = interrupt("own? ")
        if case.ran.log.count("inner"):
            await gate()
        return {"log": [own, *(await inner.ainvoke({"value": 1}))["log"]]}

    asked = await case.ask(chain(ask=ask))
    left = questions(await case.answer(chain(ask=ask), {asked["own? "]: "1"}))
    claim = await answered(case, {left["deep? "]: "2"}, number=2)
    taken = await case.vanish(claim, chain(ask=ask), gate, "stopped")
    assert taken.answers == {left["deep? "]: "2"}
    assert (await case.run(taken, chain(ask=ask))).result == {"log": ["1", "deep? 2"]}


def given(case: Answering, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once an answer is in a checkpoint."""
    written, put = asyncio.Event(), case.desk.store.put_checkpoint

    async def noting(write: PutCheckpoint) -> bool:
        good = await put(write)
        if write.answers:
            written.set()
        return good

    monkeypatch.setattr(case.desk.store, "put_checkpoint", noting)
    return written


@ENDS
async def test_of_two_answers_only_that_is_given_again_which_no_checkpoint_holds(case, end, monkeypatch):
    def graph(b) -> StateGraph:
        builder = StateGraph(State)
        for name, node in {"a": case.ran.asks("a", "one? "), "b": b}.items():
            builder.add_node(name, node)
            builder.add_edge(START, name)
        return builder

    gate, asks = Gate(), case.ran.asks("b", "two? ")
    asked = await case.ask(graph(asks))
    case.ran.log.clear()
    written = given(case, monkeypatch)

    async def last(state: State) -> State:
        await written.wait()
        await gate()
        return await asks(state)

    claim = await answered(case, {asked["one? "]: "1", asked["two? "]: "2"})
    taken = await case.vanish(claim, graph(last), gate, end)
    assert (taken.answers, taken.answered) == ({asked["two? "]: "2"}, frozenset({asked["one? "]}))
    done = await case.run(taken, graph(last))
    assert sorted(done.result["log"]) == ["one? 1", "two? 2"]
    assert case.ran.log.count("a") == 1


# ---- after the graph's end, before the store has heard of it ----


async def test_a_finished_graph_gives_its_state_and_no_node_runs(case):
    graph = chain(ask=case.ran.asks("ask", "buy? "), after=case.ran.passes("after"))
    asked = await case.ask(graph)
    taken = await unstored(case, await answered(case, {asked["buy? "]: "yes"}), graph)
    before = list(case.ran.log)
    assert (await case.run(taken, graph)).result == {"log": ["buy? yes", "after"]}
    assert case.ran.log == before


async def test_a_question_is_asked_again_by_its_id_and_no_node_runs(case):
    graph = chain(ask=case.ran.asks("ask", "buy? "))
    first = await unstored(case, await case.claim(event(attempt(1)), Decision.FRESH), graph)
    asked = questions(await case.run(first, graph))
    assert case.ran.log == ["ask"]
    assert (await case.answer(graph, {asked["buy? "]: "yes"})).result == {"log": ["buy? yes"]}


async def test_a_second_question_is_asked_again_by_its_id_and_no_node_runs(case):
    graph = chain(a=case.ran.asks("a", "one? "), b=case.ran.asks("b", "two? "))
    asked = await case.ask(graph)
    taken = await unstored(case, await answered(case, {asked["one? "]: "1"}), graph)
    left = questions(await case.run(taken, graph))
    assert list(left) == ["two? "]
    assert case.ran.log == ["a", "a", "b"]
    assert (await case.answer(graph, {left["two? "]: "2"}, round=2)).result == {"log": ["one? 1", "two? 2"]}


# ---- breakpoints, of which LangGraph makes no question ----


@pytest.mark.parametrize("where", [{"interrupt_before": ["b"]}, {"interrupt_after": ["ask"]}])
async def test_a_breakpoint_behind_an_answer_is_not_passed_by_whoever_takes_over(case, where):
    graph = chain(ask=case.ran.asks("ask", "buy? "), b=case.ran.passes("b")).compile(**where)
    asked = await case.ask(graph)
    taken = await unstored(case, await answered(case, {asked["buy? "]: "yes"}), graph)
    back = await case.run(taken, graph)
    assert (back.status, back.result) == (ResultStatus.INTERRUPTED, {"log": ["buy? yes"]})
    (kind, nodes) = next(iter(where.items()))
    assert [asked.value for asked in back.interrupts] == [{kind.removeprefix("interrupt_"): nodes}]
    assert case.ran.log == ["ask", "ask"]


async def test_an_answer_is_not_asked_for_again_where_the_graph_has_breakpoints_too(case):
    failing = Failing(1, ConnectionError("gone"))

    def ask(state: State) -> State:
        return {"log": [interrupt("buy?"), *failing(state)["log"]]}

    graph = chain(ask=ask, c=case.ran.passes("c")).compile(interrupt_after=["c"])
    asked = await case.ask(graph)
    assert (await case.answer(graph, {asked["buy?"]: "yes"})).error_type == "ConnectionError"
    again = await case.claim(event(attempt(2)), Decision.RESUMED)
    assert (await case.run(again, graph)).result == {"log": ["yes", "b", "c"]}
