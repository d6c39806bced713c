"""Workers whose clocks differ go on with each other's threads: LangGraph makes checkpoint ids, and so their order, from
the clock (rule 3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from langgraph.checkpoint.base import id as langgraph_ids
from langgraph.types import interrupt

from langgraph_worker.checkpoints import checkpoint_ids
from langgraph_worker.domain.models import Decision
from tests.support.answers import Answering, Gate, questions
from tests.support.run_store import attempt, event
from tests.support.runs import State, chain

AHEAD = 3600.0

OnHost = Callable[[float], None]


@pytest.fixture
def on_host(monkeypatch: pytest.MonkeyPatch) -> OnHost:
    """From now on the worker is another process, on a host whose clock is so many seconds ahead."""

    def move(ahead: float) -> None:
        clock = SimpleNamespace(time_ns=lambda: time.time_ns() + int(ahead * 1e9))
        monkeypatch.setattr(checkpoint_ids, "time", clock)
        monkeypatch.setattr(checkpoint_ids.id_clock, "_latest", 0)
        monkeypatch.setattr(langgraph_ids, "_last_v6_timestamp", None)

    return move


async def turn(case: Answering, graph: Any, number: int) -> Any:
    claim = await case.desk.claim("g", {"value": number}, thread_id="talk")
    return (await case.run(claim, graph)).result


async def test_a_conversation_keeps_the_turns_of_a_worker_whose_clock_is_behind(case, on_host):
    graph = chain(
        a=lambda state: {"log": [f"a{state['value']}"]},
        b=lambda state: {"log": [f"b{state['value']}"]},
    )
    said: list[str] = []
    for number, ahead in enumerate([AHEAD, 0, 0, AHEAD, 0]):
        on_host(ahead)
        said += [f"a{number}", f"b{number}"]
        assert (await turn(case, graph, number))["log"] == said


async def test_an_answer_finds_the_question_that_a_worker_asked_whose_clock_is_behind(case, on_host):
    gate, ran = Gate(), case.ran
    graph = chain(a=ran.stops("a", gate), b=ran.passes("b"), ask=ran.asks("ask", "buy? "), c=ran.passes("c"))
    on_host(AHEAD)
    taken = await case.vanish(await case.claim(event(attempt(1)), Decision.FRESH), graph, gate, "killed")
    on_host(0)
    asked = questions(await case.run(taken, graph))
    done = await case.answer(graph, {asked["buy? "]: "yes"})
    assert done.result == {"log": ["a", "b", "buy? yes", "c"]}
    assert ran.log == ["a", "a", "b", "ask", "ask", "c"]


async def test_a_child_with_a_history_keeps_what_a_worker_wrote_whose_clock_is_behind(case, on_host):
    child = chain(
        count=lambda state: {"log": [str(len(state["log"]))]},
    ).compile(checkpointer=True)

    async def calls(state: State) -> State:
        return {"value": (await child.ainvoke({"log": ["x"]}))["log"]}

    graph = chain(calls=calls)
    sizes = []
    for number, ahead in enumerate([AHEAD, 0, 0]):
        on_host(ahead)
        sizes.append(len((await turn(case, graph, number))["value"]))
    assert sizes == [2, 4, 6]


async def test_a_nodes_second_question_is_asked_once_whatever_the_clocks(case, on_host):
    def node(state: State) -> State:
        case.ran.log.append("node")
        return {"log": [interrupt("one"), interrupt("two")]}

    graph = chain(first=case.ran.passes("first"), node=node)
    on_host(AHEAD)
    asked = await case.ask(graph, event(attempt(1)))
    on_host(0)
    again = questions(await case.answer(graph, {asked["one"]: 1}))
    on_host(-AHEAD)
    done = await case.answer(graph, {again["two"]: 2}, round=2)
    assert (done.status, done.result) == ("success", {"log": ["first", 1, 2]})
    assert case.ran.log == ["first", "node", "node", "node"]
