"""What an entry of langgraph.json may say of a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.domain.budgets import GraphBudget
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.graph_spec import GraphSpec, graph_spec
from workflow_events.models import Budget, SpendLimits


def read(budget: Any) -> GraphSpec:
    return graph_spec(Path("langgraph.json"), "desk", {"path": "./desk.py:graph", "budget": budget})


def test_an_entry_has_a_budget_or_none() -> None:
    given = {"tokens": 5_000, "cost_usd": 0.5, "steps": 10, "seconds": 90}
    assert read(given).budget == GraphBudget(Budget(**given))
    assert read(None).budget == GraphBudget()
    assert graph_spec(Path("langgraph.json"), "desk", "./desk.py:graph").budget == GraphBudget()


def test_an_entry_may_limit_a_dag_run_and_a_day() -> None:
    day, dag_run = {"cost_usd": 40}, {"tokens": 90_000, "steps": 7}
    assert read({"day": day}).budget == GraphBudget(None, SpendLimits(cost_usd=40))
    both = read({"seconds": 5, "dag_run": dag_run, "day": day}).budget
    assert both == GraphBudget(Budget(seconds=5, dag_run=SpendLimits(tokens=90_000, steps=7)), SpendLimits(cost_usd=40))


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (
            {},
            "key 'budget' must be an object with one or more of tokens, cost_usd, steps, seconds, dag_run, day, ",
        ),
        (5_000, "with one or more of tokens, cost_usd, steps, seconds, dag_run, day, not 5000"),
        ({"tokns": 5}, "key 'budget' has no key 'tokns'. Did you mean 'tokens'? It may have tokens, cost_usd"),
        ({"tokens": 0}, "key 'budget.tokens' must be a whole number of tokens above 0, not 0"),
        ({"tokens": "5000"}, "not '5000'"),
        ({"steps": 1.5}, "key 'budget.steps' must be a whole number of supersteps above 0, not 1.5"),
        ({"steps": True}, "not True"),
        ({"tokens": 2**63}, "above 0, not 9223372036854775808"),
        ({"cost_usd": -1}, "key 'budget.cost_usd' must be a number of US dollars above 0, not -1"),
        ({"seconds": None}, "key 'budget.seconds' must be a number of seconds above 0, not None"),
        ({"seconds": float("inf")}, "not inf"),
        (
            {"day": {}},
            "key 'budget.day' must be an object with one or more of tokens, cost_usd, steps, seconds, ",
        ),
        ({"day": 5}, "key 'budget.day' must be an object with one or more of"),
        (
            {"dag_run": {"day": {}}},
            "key 'budget.dag_run' has no key 'day'. It may have tokens, cost_usd",
        ),
        ({"dag_run": {"tokens": 0}}, "key 'budget.dag_run.tokens' must be a whole number of tokens above 0, not 0"),
        ({"days": {}}, "key 'budget' has no key 'days'. Did you mean 'day'?"),
    ],
)
def test_a_wrong_budget_is_refused_with_its_place_and_what_is_right(budget: Any, text: str) -> None:
    with pytest.raises(GraphLoadError) as raised:
        read(budget)
    assert str(raised.value).startswith("langgraph.json: graph 'desk': ")
    assert text in str(raised.value)
