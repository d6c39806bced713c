"""Runs that spend together: of one DAG run, and of one graph on a day."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langgraph.cache.memory import InMemoryCache
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy

from langgraph_worker.domain.accounts import Account
from langgraph_worker.domain.answer_choices import with_choices_of
from langgraph_worker.domain.budgets import lower_of
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.spending import Spending
from langgraph_worker.errors import StoreError
from tests.support.paid_models import PaidModel, sell
from tests.support.run_store import attempt, event
from tests.support.runs import Desk, Failing, State, chain, opened
from workflow_events.models import Budget, SpendLimits
from workflow_events.results import ModelUsage, ResultStatus

OF_DAG_RUN = Budget(dag_run=SpendLimits(tokens=250))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


def calls(model: PaidModel, times: int = 1) -> Any:
    return chain(**{f"n{number}": lambda state: {"log": [model.invoke("?").content]} for number in range(times)})


async def spend(desk: Desk, graph: str, tokens: int, **event: Any) -> Claim:
    """Another run has spent so much."""
    claim = await desk.claim(graph, **event)
    await desk.store.record(claim, [], Spending({"big": ModelUsage(total_tokens=tokens, cost_usd=0.0)}))
    await desk.store.release(claim, 3600)
    return claim


async def test_the_runs_of_a_dag_run_spend_together_whatever_their_graphs(desk):
    model = PaidModel()
    first = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), calls(model, 2))
    assert first.result.status is ResultStatus.SUCCESS
    second = await desk.run(await desk.claim("b", budget=OF_DAG_RUN), calls(model, 3))
    assert (second.result.status, second.result.error_type) == (ResultStatus.FAILURE, "budget_exceeded")
    assert second.result.error == (
        "budget.dag_run.tokens: 300 tokens spent by this DAG run, 250 tokens allowed by the event. Allow more there, "
        "or let the graph do less; what the run had finished is kept"
    )
    assert second.result.usage["big"].total_tokens == 100
    assert model.calls == 3


async def test_a_run_without_the_limit_goes_on_and_counts(desk):
    model = PaidModel()
    await desk.run(await desk.claim("a"), calls(model, 3))
    second = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), calls(model))
    assert "300 tokens spent by this DAG run" in second.result.error
    assert model.calls == 3


async def test_another_dag_run_has_a_budget_of_its_own(desk):
    model = PaidModel()
    for run in ("monday", "tuesday", "wednesday"):
        outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN, workflow_run_id=run), calls(model, 2))
        assert outcome.result.status is ResultStatus.SUCCESS


async def test_langgraph_json_may_limit_a_dag_run(desk):
    model = PaidModel()
    await desk.run(await desk.claim("a"), calls(model, 2))
    desk.entry["budget"] = {"dag_run": {"tokens": 200}}
    outcome = await desk.run(await desk.claim("a"), calls(model))
    assert "200 tokens allowed by the entry of graph 'a' in langgraph.json" in outcome.result.error


async def test_the_runs_of_a_graph_spend_together_for_a_day(desk):
    model = PaidModel()
    desk.entry["budget"] = {"day": {"tokens": 150}}
    for number in range(2):
        graph = calls(model)
        outcome = await desk.run(await desk.claim("a"), graph)
        assert outcome.result.status is ResultStatus.SUCCESS, number
    over = await desk.run(await desk.claim("a"), calls(model))
    assert over.result.error.startswith(
        "budget.day.tokens: 200 tokens spent today (UTC) by graph 'a', 150 tokens allowed by the entry of graph 'a' in "
        "langgraph.json."
    )
    other = await desk.run(await desk.claim("b"), calls(model))
    assert other.result.status is ResultStatus.SUCCESS
    assert model.calls == 3


async def test_no_node_begins_once_it_is_used_up(desk):
    await spend(desk, "a", 300)
    began = []
    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), chain(a=lambda state: began.append("a") or {}))
    assert (outcome.result.error_type, began) == ("budget_exceeded", [])


async def test_what_others_spend_meanwhile_stops_the_next_step(desk):
    began = []

    async def others_spend(state: State) -> State:
        await spend(desk, "b", 300)
        return {}

    graph = chain(a=others_spend, b=lambda state: began.append("b") or {})
    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), graph)
    assert (outcome.result.error_type, began) == ("budget_exceeded", [])


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_a_call_is_compared_in_the_middle_of_a_node(desk, is_async):
    model, loop = PaidModel(), asyncio.get_running_loop()

    async def slow(state: State) -> State:
        await model.ainvoke("?")
        await spend(desk, "b", 200)
        return {"log": [(await model.ainvoke("?")).content]}

    def in_thread(state: State) -> State:
        model.invoke("?")
        asyncio.run_coroutine_threadsafe(spend(desk, "b", 200), loop).result()
        return {"log": [model.invoke("?").content]}

    graph = chain(a=slow if is_async else in_thread)
    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), graph)
    assert (outcome.result.error_type, model.calls) == ("budget_exceeded", 1)


async def test_an_asynchronous_node_that_calls_a_model_and_waits_does_not_hang(desk):
    model = PaidModel()

    async def blocks(state: State) -> State:
        return {"log": [model.invoke("?").content]}

    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), chain(a=blocks))
    assert (outcome.result.status, model.calls) == (ResultStatus.SUCCESS, 1)


async def test_what_a_run_has_spent_and_not_written_counts_at_once(desk, monkeypatch):
    model = PaidModel()
    record = desk.store.record
    monkeypatch.setattr(desk.store, "record", lambda claim, steps, spent=None: record(claim, steps))
    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), calls(model, 5))
    assert (outcome.result.error_type, model.calls) == ("budget_exceeded", 3)
    assert "300 tokens spent by this DAG run" in outcome.result.error


async def test_a_retry_pays_for_what_it_has_spent_once(desk):
    model, fails = PaidModel(), Failing(1, OSError("away"))
    graph = chain(a=lambda state: model.invoke("?") and {}, b=fails, c=lambda state: model.invoke("?") and {})
    desk.entry["budget"] = {"dag_run": {"tokens": 150}}
    first = await desk.run(await desk.attempt("t", "g"), graph)
    assert first.result.error_type == "OSError"
    second = await desk.run(await desk.attempt("t", "g"), graph)
    assert (second.result.status, model.calls) == (ResultStatus.SUCCESS, 2)


async def test_steps_count_and_seconds_count(desk):
    desk.entry["budget"] = {"dag_run": {"steps": 3}}
    graph = chain(a=lambda state: {}, b=lambda state: {})
    assert (await desk.run(await desk.claim("g"), graph)).result.status is ResultStatus.SUCCESS
    over = await desk.run(await desk.claim("g"), graph)
    assert over.result.error.startswith(
        "budget.dag_run.steps: 3 supersteps spent by this DAG run, 3 supersteps allowed"
    )
    desk.entry["budget"] = {"day": {"seconds": 0.000_001}}
    assert (await desk.run(await desk.claim("g"), graph)).result.error.startswith("budget.day.seconds: ")


async def test_a_price_that_is_not_known_is_never_taken_for_nothing(desk, monkeypatch):
    sell(monkeypatch, big=0.01)
    desk.entry["budget"] = {"day": {"cost_usd": 1.5}}
    free, paid = PaidModel(name_of_model="own"), PaidModel()
    refused = await desk.run(await desk.claim("g"), calls(free))
    assert refused.result.error.startswith("budget.day.cost_usd: the price of model 'own' of provider 'openai' is not")
    assert refused.result.error.endswith("allows, and limit budget.day.tokens")
    for status in (ResultStatus.SUCCESS, ResultStatus.SUCCESS, ResultStatus.FAILURE):
        assert (await desk.run(await desk.claim("g"), calls(paid))).result.status is status
    assert (free.calls, paid.calls) == (0, 2)


async def test_a_call_without_a_price_by_another_run_ends_what_its_cost_limits(desk, monkeypatch):
    sell(monkeypatch, big=0.01)
    free, paid = PaidModel(name_of_model="own"), PaidModel()
    await desk.run(await desk.claim("a"), calls(free))
    outcome = await desk.run(await desk.claim("b", budget=Budget(dag_run=SpendLimits(cost_usd=5))), calls(paid))
    assert outcome.result.error.startswith("budget.dag_run.cost_usd: model 'own' has answered, and its price is not")
    assert paid.calls == 0


async def test_the_lower_limit_of_a_dag_run_holds(desk):
    desk.entry["budget"] = {"dag_run": {"tokens": 100, "steps": 50}}
    model = PaidModel()
    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), calls(model, 2))
    assert "100 tokens allowed by the entry of graph 'a'" in outcome.result.error
    desk.entry["budget"] = {"dag_run": {"tokens": 10_000}}
    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), calls(model, 9))
    assert "250 tokens allowed by the event" in outcome.result.error


class Away:
    """A store that is away for a moment, or for ever."""

    def __init__(self, times: int | None) -> None:
        self.left = times
        self.asked = threading.Event()

    def __call__(self, claim: Claim, accounts: Any) -> Future[Any]:
        self.asked.set()
        if self.left is None or self.left > 0:
            self.left = None if self.left is None else self.left - 1
            failed: Future[Any] = Future()
            failed.set_exception(StoreError("away"))
            return failed
        return self.found(claim, accounts)


async def test_a_call_waits_for_the_store(desk, monkeypatch, caplog):
    away, model = Away(2), PaidModel()
    away.found = desk.store.stored_counts

    async def node(state: State) -> State:
        monkeypatch.setattr(desk.store, "stored_counts", away)
        return {"log": [(await model.ainvoke("?")).content]}

    graph = chain(a=node)
    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), graph)
    assert (outcome.result.status, model.calls) == (ResultStatus.SUCCESS, 1)
    assert "cannot read what several runs have spent, trying again: away" in caplog.text


async def test_a_thread_of_a_run_that_is_over_waits_no_longer(desk, monkeypatch):
    away, model, ended = Away(None), PaidModel(), threading.Event()

    def node(state: State) -> State:
        monkeypatch.setattr(desk.store, "stored_counts", away)
        try:
            model.invoke("?")
        finally:
            ended.set()
        return {}

    running = asyncio.create_task(desk.only_run(await desk.claim("a", budget=OF_DAG_RUN), chain(a=node)))
    await asyncio.to_thread(away.asked.wait)
    running.cancel()
    await asyncio.wait({running})
    assert await asyncio.to_thread(ended.wait, 10)
    assert model.calls == 0


async def test_a_run_without_such_limits_asks_the_store_nothing(desk, monkeypatch):
    monkeypatch.delattr(type(desk.store), "stored_counts")
    model = PaidModel()
    outcome = await desk.run(await desk.claim("a", budget=Budget(tokens=500)), calls(model))
    assert outcome.result.status is ResultStatus.SUCCESS


async def test_the_account_of_a_claim_has_what_its_run_spent(desk):
    claim = await desk.claim("a", budget=OF_DAG_RUN)
    await desk.run(claim, calls(PaidModel(), 2))
    counts = desk.store.stored_counts(claim, Account.of(claim.event, "a")).result()
    assert [(count.tokens, count.steps) for count in counts.together.values()] == [(200, 2), (200, 2)]


def test_an_answer_keeps_the_lower_limits_of_the_one_who_asked() -> None:
    asked, answer = Budget(tokens=5, dag_run=SpendLimits(tokens=9, steps=4)), Budget(dag_run=SpendLimits(tokens=7))
    assert lower_of(answer, asked) == Budget(tokens=5, dag_run=SpendLimits(tokens=7, steps=4))
    assert lower_of(Budget(steps=1), asked) == Budget(tokens=5, steps=1, dag_run=SpendLimits(tokens=9, steps=4))
    assert lower_of(asked, None) == asked


class Swallows:
    """A node that makes something of its own of a refused call."""

    def __init__(self, model: PaidModel) -> None:
        self.model = model

    def __call__(self, state: State) -> State:
        try:
            return {"log": [self.model.invoke("?").content]}
        except RuntimeError:
            return {"log": ["FALLBACK"]}


async def test_what_a_node_made_of_a_refused_call_is_not_kept(desk):
    model = PaidModel()
    graph = chain(a=lambda state: {"log": [model.invoke("?").content]}, b=Swallows(model), c=lambda state: {})
    over = await desk.run(await desk.claim("g", attempt=attempt(1), budget=Budget(tokens=100)), graph)
    assert over.result.error_type == "budget_exceeded"
    again = await desk.run(await desk.claim("g", attempt=attempt(2), budget=Budget(tokens=900)), graph)
    assert again.result.result == {"log": ["answer 1", "answer 2"]}


async def test_nor_is_it_cached_for_others(desk):
    model = PaidModel()
    built = StateGraph(State).add_node("a", Swallows(model), cache_policy=CachePolicy()).add_edge(START, "a")
    graph = built.compile(cache=InMemoryCache())
    over = await desk.run(await desk.claim("g", budget=Budget(cost_usd=0.1)), graph)
    assert over.result.error_type == "budget_exceeded"  # its price is not known
    assert (await desk.run(await desk.claim("g"), graph)).result.result == {"log": ["answer 1"]}


async def test_a_run_whose_node_caught_the_stores_trouble_is_no_success(desk, monkeypatch):
    def broken(claim: Claim, accounts: Any) -> Future[Any]:
        failed: Future[Any] = Future()
        failed.set_exception(StoreError("broken", retriable=False))
        return failed

    class Catches(Swallows):
        def __call__(self, state: State) -> State:
            monkeypatch.setattr(desk.store, "stored_counts", broken)
            try:
                return super().__call__(state)
            except StoreError:
                return {"log": ["FALLBACK"]}
            finally:
                monkeypatch.undo()

    with pytest.raises(StoreError, match="broken"):
        await desk.only_run(await desk.claim("a", budget=OF_DAG_RUN), chain(a=Catches(PaidModel())))


async def test_a_stream_that_a_node_leaves_is_counted_as_not_reported(desk):
    async def leaves(state: State) -> State:
        async with contextlib.aclosing(model.astream("?")) as stream:
            async for _ in stream:
                break
        return {}

    class Streams(PaidModel):
        def _stream(self, messages: Any, *_: Any, **__: Any) -> Any:
            self.calls += 1
            for word in ("a", "b", "c"):
                yield ChatGenerationChunk(message=AIMessageChunk(word))

    model = Streams()
    graph = chain(a=leaves, b=leaves)
    outcome = await desk.run(await desk.claim("g", budget=Budget(tokens=500)), graph)
    assert outcome.result.error.startswith("budget.tokens: model 'big' has not reported its tokens")
    assert model.calls == 1


async def test_what_a_stopped_run_has_spent_counts(desk):
    model, called = PaidModel(), asyncio.Event()

    async def node(state: State) -> State:
        await model.ainvoke("?")
        called.set()
        await asyncio.Event().wait()
        return {}

    claim = await desk.claim("g", budget=Budget(tokens=500, seconds=50))
    running = asyncio.create_task(desk.only_run(claim, chain(a=node)))
    await called.wait()
    running.cancel()
    await asyncio.wait({running})
    await desk.store.release(claim)
    [again] = await desk.store.claim("w2", 1, ["g"])
    assert again.spent is not None
    assert (again.spent.tokens, again.spent.seconds > 0) == (100, True)


def test_an_answer_of_another_dag_run_is_not_compared_with_the_limit_of_the_one_that_asked() -> None:
    asked = event(attempt(1), budget=Budget(tokens=5, dag_run=SpendLimits(tokens=9)))
    same, other = event(attempt(1)), event(attempt(1), workflow_run_id="other")
    assert with_choices_of(same, asked).budget == asked.budget
    assert with_choices_of(other, asked).budget == Budget(tokens=5)


async def test_calls_that_await_need_no_thread_of_nodes(desk):
    """Synchronous nodes may have all of them, and wait for what such a call answers."""

    class Awaited(PaidModel):
        async def _agenerate(self, *args: Any, **more: Any) -> Any:
            return self._generate(*args)

    model, free = Awaited(), threading.Event()
    nodes = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(nodes)
    blocked = asyncio.get_running_loop().run_in_executor(None, free.wait)

    async def ask(state: State) -> State:
        return {"log": [str((await model.ainvoke("?")).content)]}

    outcome = await desk.run(await desk.claim("a", budget=OF_DAG_RUN), chain(ask=ask))
    assert (outcome.result.status, blocked.done()) == (ResultStatus.SUCCESS, False)
    free.set()
    await blocked
