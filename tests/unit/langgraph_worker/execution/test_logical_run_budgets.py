"""A budget counts over the attempts, takeovers and rounds of a logical run; what a crash left uncounted is counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.graph import StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from sqlalchemy import create_engine, select

from langgraph_worker.domain.models import Claim, Decision
from langgraph_worker.store.migrations.schema import run_spending
from tests.support.answers import Answering, answer_event
from tests.support.paid_models import PaidModel, sell
from tests.support.run_store import attempt, event
from tests.support.runs import Desk, Failing, State, chain, opened
from workflow_events.models import Budget
from workflow_events.results import ResultStatus


class Talk(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


def talks(model: PaidModel) -> Any:
    return lambda state: {"messages": [model.invoke("?")]}


def rows(desk: Desk) -> list[dict[str, Any]]:
    engine = create_engine(f"sqlite:///{desk.path}")
    try:
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(run_spending)).mappings()]
    finally:
        engine.dispose()


async def test_a_run_without_models_and_budget_has_nothing_counted(desk):
    await desk.run(await desk.claim("g"), chain(a=lambda state: {}, b=lambda state: {}))
    assert rows(desk) == []


async def test_a_retry_goes_on_with_what_is_left(desk):
    model, fails = PaidModel(), Failing(1, ConnectionError("away"))
    graph = chain(
        a=lambda state: {"log": [model.invoke("?").content]}, b=fails, c=lambda state: model.invoke("!") and {}
    )
    desk.entry["budget"] = {"tokens": 100}
    first = await desk.run(await desk.attempt("t", "g"), graph)
    assert first.result.error_type == "ConnectionError"
    assert first.result.usage["big"].total_tokens == 100
    second = await desk.run(await desk.attempt("t", "g"), graph)
    assert second.result.error_type == "budget_exceeded"
    assert "100 tokens spent" in second.result.error
    assert model.calls == 1


async def test_steps_and_seconds_count_over_the_attempts_also_if_only_the_retry_has_a_budget(desk):
    fails = Failing(1, ConnectionError("away"))
    graph = chain(a=lambda state: {}, b=fails, c=lambda state: {})
    await desk.run(await desk.attempt("t", "g"), graph)
    assert [(row["steps"], row["seconds"] > 0) for row in rows(desk)] == [(2, True)]
    desk.entry["budget"] = {"steps": 3}
    second = await desk.run(await desk.attempt("t", "g"), graph)
    assert (second.result.error_type, second.result.error[:30]) == ("budget_exceeded", "budget.steps: 3 supersteps spe")


async def vanish(desk: Desk, claim: Claim, model: PaidModel, monkeypatch: pytest.MonkeyPatch) -> Claim:
    """A first start is lost in its second node, before anything that it spent was counted; then the next start."""
    reached = asyncio.Event()
    record = desk.store.record
    monkeypatch.setattr(desk.store, "record", lambda claim, steps, spent=None: record(claim, steps))

    async def hang(state: Talk) -> None:
        reached.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(desk.only_run(claim, chain(Talk, a=talks(model), b=hang)))
    await reached.wait()
    running.cancel()
    await asyncio.wait({running})
    monkeypatch.undo()
    await desk.store.release(claim)
    [again] = await desk.store.claim("w2", 1, [claim.graph])
    return again


async def test_what_a_crash_left_uncounted_is_counted_from_the_checkpoint(desk, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    model = PaidModel()
    claim = await desk.claim("g", {"messages": []}, budget=Budget(tokens=150))
    again = await vanish(desk, claim, model, monkeypatch)
    assert again.spent is None
    outcome = await desk.run(again, chain(Talk, a=talks(model), b=talks(model), c=talks(model)))
    assert outcome.result.usage["big"].requests == 2
    assert (outcome.result.error_type, model.calls) == ("budget_exceeded", 2)
    assert "1 model call of an earlier start counted from the thread's messages" in caplog.text


async def test_what_was_counted_is_not_counted_again(desk):
    model, fails = PaidModel(), Failing(1, ConnectionError("away"))
    graph = chain(Talk, a=talks(model), b=fails, c=talks(model))
    await desk.run(await desk.attempt("t", "g", {"messages": []}), graph)
    second = await desk.run(await desk.attempt("t", "g", {"messages": []}), graph)
    assert second.result.usage["big"].requests == 2


async def test_messages_that_a_node_has_built_itself_are_not_taken_for_calls(desk):
    model, fails = PaidModel(), Failing(1, ConnectionError("away"))

    def rebuilds(state: Talk) -> Any:
        said = model.invoke("?")
        return {"messages": [AIMessage(said.content, usage_metadata=said.usage_metadata)]}

    graph = chain(Talk, a=rebuilds, b=fails)
    await desk.run(await desk.attempt("t", "g", {"messages": []}), graph)
    second = await desk.run(await desk.attempt("t", "g", {"messages": []}), graph)
    assert second.result.usage["big"].requests == 1


async def test_a_conversations_earlier_turns_are_no_spending_of_a_run(desk):
    model, fails = PaidModel(), Failing(1, ConnectionError("away"))
    await desk.run(await desk.claim("g", {"messages": []}, thread_id="talk"), chain(Talk, a=talks(model)))
    graph = chain(Talk, a=talks(model), b=fails)
    second = await desk.claim("g", {"messages": []}, thread_id="talk", budget=Budget(tokens=1_000))
    outcome = await desk.run(second, graph)
    assert outcome.result.usage["big"].requests == 1
    [marks] = [row["marks"] for row in rows(desk) if len(row["marks"]) == 2]
    assert marks  # of both, so that the next owner counts neither again


async def test_what_cannot_be_counted_is_said(desk, monkeypatch, caplog):
    model = PaidModel()
    claim = await desk.claim("g", {"messages": []}, thread_id="talk")
    again = await vanish(desk, claim, model, monkeypatch)
    outcome = await desk.run(again, chain(Talk, a=talks(model), b=talks(model)))
    assert outcome.result.usage["big"].requests == 1
    assert "what an earlier start spent last may not be counted: the thread is a conversation" in caplog.text


def asking(model: PaidModel) -> StateGraph:
    def asks(state: State) -> State:
        return {"log": [interrupt("go on?")]}

    def works(state: State) -> State:
        return {"log": [str(model.invoke("?").content)]}

    return chain(a=works, b=asks, c=works, d=works)


async def test_the_rounds_of_a_run_have_one_budget(case: Answering) -> None:
    model = PaidModel()
    asked = event(attempt(1), budget=Budget(tokens=200))
    ids = await case.ask(asking(model), asked)
    result = await case.run(
        await case.claim(answer_event(attempt(1), {ids["go on?"]: "yes"}, budget=Budget(tokens=900))), asking(model)
    )
    assert (result.error_type, model.calls) == ("budget_exceeded", 2)
    assert result.usage["big"].total_tokens == 200
    assert "200 tokens allowed by the event" in (result.error or "")


async def test_a_clear_begins_with_nothing_spent(case: Answering) -> None:
    model = PaidModel()
    graph = chain(a=lambda state: {"log": [model.invoke("?").content]})
    first = await case.run(await case.claim(event(attempt(1), budget=Budget(tokens=100)), Decision.FRESH), graph)
    cleared = event(attempt(2, max_tries=9), budget=Budget(tokens=100))
    second = await case.run(await case.claim(cleared, Decision.FRESH), graph)
    assert [one.status for one in (first, second)] == [ResultStatus.SUCCESS] * 2
    assert second.usage["big"].requests == 1


class Tracer(BaseCallbackHandler):
    """A project's own."""


def many(call: Any) -> Any:
    """A node that calls a model ten times."""

    def node(state: Talk) -> Any:
        for _ in range(10):
            call()
        return {}

    return node


def in_threads(model: PaidModel) -> Any:
    def node(state: Talk) -> Any:
        with ContextThreadPoolExecutor(2) as pool:
            list(pool.map(model.invoke, ["?"] * 10))
        return {}

    return node


WAYS: dict[str, Callable[[PaidModel], Any]] = {
    "as it is": lambda model: many(lambda: model.invoke("?")),
    "callbacks of the call": lambda model: many(lambda: model.invoke("?", config={"callbacks": [Tracer()]})),
    "callbacks of the config": lambda model: many(lambda: model.with_config(callbacks=[Tracer()]).invoke("?")),
    "a manager of its own": lambda model: many(
        lambda: model.invoke("?", config={"callbacks": CallbackManager([Tracer()])})
    ),
    "generate": lambda model: many(lambda: model.generate([[HumanMessage("?")]])),
    "threads with their context": in_threads,
    "a graph with callbacks of its own": lambda model: many(
        lambda: chain(Talk, a=talks(model)).compile().invoke({"messages": []}, {"callbacks": [Tracer()]})
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_counts_however_it_is_made(desk, way):
    model = PaidModel()
    desk.entry["budget"] = {"tokens": 150}
    outcome = await desk.run(await desk.claim("g", {"messages": []}), chain(Talk, a=WAYS[way](model)))
    assert outcome.result.error_type == "budget_exceeded"
    assert model.calls in ((2, 3) if way == "threads with their context" else (2,))
    assert outcome.result.usage["big"].requests == model.calls


async def test_a_call_from_a_thread_of_the_nodes_own_is_logged(desk, caplog):
    model = PaidModel(name_of_model="unseen")

    def node(state: Talk) -> Any:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(model.invoke, "?").result()
            pool.submit(model.invoke, "?").result()
        return {}

    outcome = await desk.run(await desk.claim("g", {"messages": []}), chain(Talk, a=node))
    assert outcome.result.usage == {}
    assert caplog.text.count("model unseen is called outside of a run: its calls count for no run and no budget") == 1


async def test_a_price_that_is_not_known_is_never_forgotten(desk, monkeypatch):
    sell(monkeypatch, big=0.01)  # a call costs $1
    model = PaidModel()

    def silent_once(state: Talk) -> Any:
        if model.calls == 0:
            model.tokens = None
            model.invoke("?")
            model.tokens = 100
            raise OSError("away")
        return {}

    desk.entry["budget"] = {"cost_usd": 1.5}
    graph = chain(Talk, a=silent_once, b=talks(model), c=talks(model))
    first = await desk.run(await desk.attempt("t", "g", {"messages": []}), graph)
    assert first.result.error_type == "OSError"
    second = await desk.run(await desk.attempt("t", "g", {"messages": []}), graph)
    assert (second.result.error_type, model.calls) == ("budget_exceeded", 1)
    assert "model 'big' has not reported its tokens" in second.result.error


async def test_a_model_that_does_not_report_is_called_once_over_all_tries(desk):
    model = PaidModel(tokens=None)

    def node(state: Talk) -> Any:
        model.invoke("?")
        raise OSError("away")

    desk.entry["budget"] = {"tokens": 10}
    for _ in range(3):
        outcome = await desk.run(await desk.attempt("t", "g", {"messages": []}), chain(Talk, a=node))
    assert (outcome.result.error_type, model.calls) == ("budget_exceeded", 1)


async def test_what_was_spent_without_a_price_counts_when_a_budget_in_dollars_comes_later(desk, monkeypatch):
    sell(monkeypatch, other=0.01)
    model = PaidModel()
    graph = chain(Talk, a=talks(model), b=Failing(1, OSError("away")), c=talks(PaidModel(name_of_model="other")))
    await desk.run(await desk.attempt("t", "g", {"messages": []}), graph)
    desk.entry["budget"] = {"cost_usd": 5.0}
    second = await desk.run(await desk.attempt("t", "g", {"messages": []}), graph)
    assert second.result.error_type == "budget_exceeded"
    assert "model 'big' has answered, and its price is not known" in second.result.error
