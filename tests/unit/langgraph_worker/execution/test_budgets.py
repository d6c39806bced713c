"""A run ends at its budget: before the next call of a model, and before the next superstep."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy

from langgraph_worker.domain.results import Outcome
from tests.support.paid_models import PaidModel, sell, sell_nothing
from tests.support.runs import Desk, State, chain, opened
from workflow_events.models import Budget
from workflow_events.results import ModelUsage, ResultStatus


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


def asks(model: PaidModel, times: int = 1) -> Any:
    def node(state: State) -> State:
        return {"log": [str(model.invoke("?").content) for _ in range(times)]}

    return node


def swallows(model: PaidModel) -> Any:
    def node(state: State) -> State:
        try:
            model.invoke("?")
        except Exception as error:  # noqa: BLE001 - what some nodes do
            return {"log": [type(error).__name__]}
        return {"log": ["paid"]}

    return node


async def ran(desk: Desk, graph: Any, budget: dict[str, Any] | None = None) -> Outcome:
    return await desk.run(await desk.claim("g", budget=budget and Budget(**budget)), graph)


def is_over(outcome: Outcome, text: str) -> None:
    result = outcome.result
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.FAILURE, "budget_exceeded", False)
    assert text in result.error


async def test_no_superstep_begins_when_more_tokens_are_spent_than_allowed(desk):
    model, late = PaidModel(), PaidModel()
    outcome = await ran(desk, chain(a=asks(model), b=asks(model), c=asks(late)), {"tokens": 150})
    is_over(outcome, "budget.tokens: 200 tokens spent, 150 tokens allowed by the event. Allow more there")
    assert (model.calls, late.calls) == (2, 0)
    assert outcome.result.usage["big"].total_tokens == 200


async def test_a_call_within_a_node_is_refused_when_the_tokens_are_spent(desk):
    model = PaidModel()
    is_over(await ran(desk, chain(a=asks(model, 5)), {"tokens": 200}), "200 tokens spent")
    assert model.calls == 2


async def test_a_run_that_spends_all_it_may_and_needs_no_more_succeeds(desk):
    model = PaidModel()
    outcome = await ran(desk, chain(a=asks(model), b=asks(model), c=lambda state: {"log": ["c"]}), {"tokens": 200})
    assert outcome.result.status is ResultStatus.SUCCESS
    usage = ModelUsage(input_tokens=180, output_tokens=20, total_tokens=200, requests=2)
    assert outcome.result.usage == {"big": usage}


async def test_the_last_node_may_spend_more_than_was_left(desk):
    assert (await ran(desk, chain(a=asks(PaidModel())), {"tokens": 5})).result.status is ResultStatus.SUCCESS


async def test_a_node_that_swallows_the_refusal_ends_its_run_at_the_next_step(desk):
    model, late = PaidModel(), []
    graph = chain(a=asks(model), b=swallows(model), c=lambda state: late.append("c") or {})
    is_over(await ran(desk, graph, {"tokens": 100}), "100 tokens spent")
    assert (model.calls, late) == (1, [])


async def test_a_refusal_that_the_last_node_swallows_is_no_success(desk):
    model = PaidModel()
    is_over(await ran(desk, chain(a=asks(model), b=swallows(model)), {"tokens": 100}), "100 tokens spent")


async def test_a_refusal_of_a_call_that_hides_its_task_is_no_success_either(desk):
    model = PaidModel()

    def swallows_it(state: State) -> State:
        with contextlib.suppress(RuntimeError):
            model.invoke("?", config={"metadata": {"langgraph_checkpoint_ns": ""}})
        return {}

    is_over(await ran(desk, chain(a=asks(model), b=swallows_it), {"tokens": 100}), "100 tokens spent")


async def test_a_node_that_raises_another_error_is_over_its_budget_all_the_same(desk):
    def node(state: State) -> State:
        try:
            asks(PaidModel(), 2)(state)
        except Exception:  # noqa: BLE001 - what some nodes do
            raise ValueError("no answer") from None
        return {}

    is_over(await ran(desk, chain(a=node), {"tokens": 100}), "100 tokens spent")


async def test_langgraph_does_not_repeat_a_node_whose_call_is_refused(desk):
    starts = []

    def node(state: State) -> State:
        starts.append(1)
        return asks(PaidModel(), 2)(state)

    builder = StateGraph(State)
    builder.add_node("a", node, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    builder.add_edge(START, "a")
    is_over(await ran(desk, builder, {"tokens": 100}), "100 tokens spent")
    assert len(starts) == 1


async def test_branches_may_end_the_calls_under_way_and_begin_none(desk):
    both = threading.Barrier(2)
    models = [PaidModel(before=lambda call: call == 1 and both.wait(10)) for _ in "ab"]
    builder = StateGraph(State)
    for name, model in zip("ab", models, strict=True):
        builder.add_node(name, asks(model, 2))
        builder.add_edge(START, name)
    is_over(await ran(desk, builder, {"tokens": 1}), "allowed by the event")
    assert [model.calls for model in models] == [1, 1]


@pytest.mark.parametrize(("allowed", "status"), [(3, ResultStatus.SUCCESS), (2, ResultStatus.FAILURE)])
async def test_supersteps_are_limited(desk, allowed, status):
    graph = chain(**{name: lambda state, name=name: {"log": [name]} for name in "abc"})
    outcome = await ran(desk, graph, {"steps": allowed})
    assert outcome.result.status is status
    if status is ResultStatus.FAILURE:
        is_over(outcome, "budget.steps: 2 supersteps spent, 2 supersteps allowed by the event")
        assert {step["node"] for step in desk.steps()} == {"a", "b"}


async def test_running_time_is_limited(desk, monkeypatch):
    loop = asyncio.get_running_loop()
    real_time = loop.time

    async def hang(state: State) -> State:
        monkeypatch.setattr(loop, "time", lambda: real_time() + 3600)  # an hour passes for the event loop
        await asyncio.Event().wait()
        return {}

    is_over(await ran(desk, chain(a=hang), {"seconds": 60}), "budget.seconds: 3,6")


async def test_the_lower_limit_of_event_and_graph_holds_whoever_sets_it(desk):
    desk.entry["budget"] = {"tokens": 100, "steps": 50}
    graph = chain(a=asks(PaidModel(), 9))
    is_over(await ran(desk, graph, {"tokens": 900}), "100 tokens allowed by the entry of graph 'g' in langgraph.json")
    is_over(await ran(desk, graph), "by the entry of graph 'g' in langgraph.json")
    desk.entry["budget"] = {"tokens": 900}
    is_over(await ran(desk, chain(a=asks(PaidModel(), 9)), {"tokens": 200}), "200 tokens allowed by the event")


async def test_cost_is_counted_and_limited(desk, monkeypatch):
    sell(monkeypatch, big=0.001)
    model = PaidModel()
    outcome = await ran(desk, chain(a=asks(model, 9)), {"cost_usd": 0.15})
    is_over(outcome, "budget.cost_usd: $0.2 spent, $0.15 allowed by the event")
    assert outcome.result.usage["big"].cost_usd == pytest.approx(0.2)


async def test_a_price_that_is_not_known_is_no_price_of_zero(desk, monkeypatch):
    sell(monkeypatch, big=0.001)
    graph = chain(a=asks(PaidModel()), b=asks(PaidModel(name_of_model="own", provider="ollama")))
    usage = (await ran(desk, graph)).result.usage
    assert (usage["big"].cost_usd, usage["own"].cost_usd) == (pytest.approx(0.1), None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own", "the price of model 'own' of provider 'openai' is not known, so it is not called. To go on, leave"),
        (None, "the price of a model that does not say its name of provider 'openai' is not known"),
    ],
)
async def test_a_model_of_unknown_price_is_not_called_within_a_budget_of_cost(desk, monkeypatch, name, text):
    sell(monkeypatch, big=0.001)
    model = PaidModel(name_of_model=name)
    is_over(await ran(desk, chain(a=asks(model)), {"cost_usd": 5}), text)
    assert model.calls == 0


async def test_without_the_prices_the_text_says_what_to_install(desk, monkeypatch):
    sell_nothing(monkeypatch)
    outcome = await ran(desk, chain(a=asks(PaidModel())), {"cost_usd": 5})
    is_over(outcome, "pip install 'airflow-provider-langgraph[cost]'")
    assert (await ran(desk, chain(a=asks(PaidModel())))).result.usage["big"].cost_usd is None


async def test_a_model_that_reports_no_tokens_is_called_once_within_a_budget_of_tokens(desk):
    model = PaidModel(tokens=None)
    is_over(await ran(desk, chain(a=asks(model, 3)), {"tokens": 5_000}), "model 'big' has not reported its tokens")
    assert model.calls == 1
    assert (await ran(desk, chain(a=asks(model)))).result.usage["big"].requests == 1


async def test_a_limit_that_is_not_set_limits_nothing(desk):
    assert (await ran(desk, chain(a=asks(PaidModel(), 3)), {"steps": 9})).result.status is ResultStatus.SUCCESS
    assert (await ran(desk, chain(a=asks(PaidModel(), 3)), {})).result.status is ResultStatus.SUCCESS
