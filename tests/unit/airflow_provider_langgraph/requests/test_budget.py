"""What an author may write as a budget, and what is sent."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_langgraph.decorators.langgraph import langgraph_task
from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.agent import LangGraphOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator
from airflow_provider_langgraph.requests.budget import budget_of


def question():
    return {"question": "?"}


WRONG = [
    ({}, "budget is empty: give one or more of tokens, cost_usd, steps, seconds, dag_run, or leave it out"),
    (5_000, "budget must be a mapping, such as {'tokens': 50_000, 'cost_usd': 0.5}, not 5000. A template renders"),
    ({"token": 5}, "budget: unknown key 'token'. Did you mean 'tokens'? Allowed are tokens, cost_usd, steps, seconds"),
    ({"cost": 5}, "budget: unknown key 'cost'."),
    ({5: 5}, "budget: unknown key 5. Allowed are"),
    ({"tokens": 0}, "budget['tokens'] must be a whole number of tokens above 0, not 0"),
    ({"tokens": -5}, "above 0, not -5"),
    ({"tokens": 1.5}, "must be a whole number of tokens above 0, not 1.5"),
    ({"tokens": True}, "not True"),
    ({"tokens": None}, "not None"),
    ({"tokens": 2**63}, "above 0, not 9223372036854775808"),
    ({"steps": "many"}, "budget['steps'] must be a whole number of supersteps above 0, not 'many'"),
    ({"steps": "-1"}, "not '-1'"),
    ({"cost_usd": 0}, "budget['cost_usd'] must be a number of US dollars above 0, not 0"),
    ({"cost_usd": float("inf")}, "not inf"),
    ({"cost_usd": 10**400}, "above 0, not 1000"),
    ({"cost_usd": Decimal("1e400")}, "Decimal('1E+400'), which is too large"),
    ({"tokens": 10**400}, "which is too large"),
    ({"tokens": 10**5000}, "above 0, not an int, which is too large"),
    ({"tokens": float("inf")}, "not inf"),
    ({"steps": -(10**400)}, "above 0, not -1000"),
    ({"seconds": Decimal("nan")}, "not Decimal('NaN')"),
    ({"seconds": Decimal("sNaN")}, "not Decimal('sNaN')"),
    ({"cost_usd": float("nan")}, "not nan"),
    ({"cost_usd": "1e400"}, "not '1e400'"),
    ({"seconds": timedelta(0)}, "budget['seconds'] must be a number of seconds above 0"),
    ({"dag_run": 5}, "budget['dag_run'] must be a mapping, such as {'tokens': 50_000, 'cost_usd': 0.5}, not 5."),
    (
        {"dag_run": {}},
        "budget['dag_run'] is empty: give one or more of tokens, cost_usd, steps, seconds, or leave",
    ),
    (
        {"dag_run": {"dag_run": {}}},
        "budget['dag_run']: unknown key 'dag_run'. Allowed are tokens, cost_usd",
    ),
    ({"dag_run": {"tokens": 0}}, "budget['dag_run']['tokens'] must be a whole number of tokens above 0, not 0"),
    ({"day": {"tokens": 5}}, "budget: unknown key 'day'."),
]


@pytest.mark.parametrize(("budget", "text"), WRONG)
def test_a_wrong_budget_is_refused_when_the_dag_file_is_parsed(budget: Any, text: str) -> None:
    forms = [
        lambda: LangGraphTriggerOperator(task_id="t", budget=budget),
        lambda: LangGraphOperator(task_id="t", budget=budget),
        lambda: LangGraphResumeOperator(task_id="t", question="{{ q }}", answer=1, budget=budget),
        lambda: langgraph_task(budget=budget)(question)(),
    ]
    for make in forms:
        with pytest.raises(SettingsError) as raised:
            make()
        assert text in str(raised.value)


def test_a_template_is_checked_when_it_is_rendered() -> None:
    still_to_come = SimpleNamespace(resolve=None)
    for budget in (
        "{{ params.budget }}",
        {"tokens": "{{ params.tokens }}", "steps": still_to_come},
        {"dag_run": still_to_come},
        {"dag_run": {"tokens": "{{ params.tokens }}"}},
    ):
        LangGraphTriggerOperator(task_id="t", budget=budget)
    with pytest.raises(SettingsError, match="not 'None'"):
        budget_of({"tokens": "None"})
    with pytest.raises(SettingsError, match=r"budget\['dag_run'\]\['tokens'\] must be .* not 'None'"):
        budget_of({"dag_run": {"tokens": "None"}})
    with pytest.raises(SettingsError, match="A template renders to text"):
        budget_of("{'tokens': 5}")


def test_a_rendered_budget_becomes_numbers() -> None:
    given = {"tokens": "5000", "cost_usd": "0.25", "steps": 12.0, "seconds": timedelta(minutes=2)}
    assert budget_of(given) == {"tokens": 5000, "cost_usd": 0.25, "steps": 12, "seconds": 120.0}
    assert budget_of({"cost_usd": Decimal("1.5")}) == {"cost_usd": 1.5}
    assert budget_of({"steps": 3, "dag_run": {"tokens": "5000"}}) == {"steps": 3, "dag_run": {"tokens": 5000}}
    assert budget_of(None) is None


def test_a_budget_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = LangGraphTriggerOperator(task_id="t", budget={"tokens": "{{ params.tokens }}"})
    operator.render_template_fields({"params": {"tokens": 700}})
    assert budget_of(operator.budget) == {"tokens": 700}


def test_a_key_of_agent_config_is_none() -> None:
    with pytest.raises(SettingsError, match=r"an argument of the operator: write LangGraphOperator\(\.\.\., budget"):
        LangGraphOperator(task_id="t", agent_config={"type": "g", "budget": {"tokens": 5}})
