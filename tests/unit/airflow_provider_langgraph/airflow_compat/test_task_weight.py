"""The weight of a task as Airflow's scheduler computes it, in the task's own process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator
from airflow.task.priority_strategy import validate_and_load_priority_weight_strategy

from airflow_provider_langgraph.airflow_compat.task_weight import effective_weight
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.build import (
    RequestArguments,
    build_answer,
    build_event,
    build_events,
    build_next_answer,
)
from tests.support.ti_ids import new_ti_id


class ByTry:
    """A rule of an author's own: the first tries come first."""

    def get_weight(self, ti: Any) -> int:
        return 10 - int(ti.try_number)


class OfTheScheduler:
    """A rule that needs what only the scheduler has."""

    def get_weight(self, ti: Any) -> int:
        return len(ti.get_previous_ti().xcoms)


def agent(rule: Any, weight: int = 5, make: Callable[..., BaseOperator] = LangGraphTriggerOperator) -> BaseOperator:
    """A task with two tasks of weights 10 and 100 behind it, one of 1000 before it, and one beside it."""
    with DAG("report", schedule=None):
        first = BaseOperator(task_id="first", priority_weight=1000)
        asked = make(task_id="agent", graph="desk", priority_weight=weight, weight_rule=rule)
        BaseOperator(task_id="beside", priority_weight=7)
        (
            first
            >> asked
            >> BaseOperator(task_id="next", priority_weight=10)
            >> BaseOperator(task_id="last", priority_weight=100)
        )
    return asked


def weight_of(task: Any, **of_ti: Any) -> int:
    return effective_weight({"ti": SimpleNamespace(task=task, try_number=2, **of_ti)})  # type: ignore[typeddict-item]


@pytest.mark.parametrize(("rule", "weight"), [("absolute", 5), ("downstream", 115), ("upstream", 1005)])
def test_it_is_computed_by_the_rule(rule: str, weight: int) -> None:
    task = agent(rule)
    assert weight_of(task) == weight
    strategy = validate_and_load_priority_weight_strategy(rule)
    assert weight_of(task) == strategy.get_weight(SimpleNamespace(task=task))  # type: ignore[arg-type]


def test_the_rule_of_a_task_that_names_none_is_airflows_default() -> None:
    with DAG("report", schedule=None):
        task = LangGraphTriggerOperator(task_id="agent", graph="desk")
        task >> BaseOperator(task_id="next")
    assert weight_of(task) == 2


def test_a_rule_of_ones_own_is_asked() -> None:
    assert weight_of(agent(ByTry())) == 8


def test_a_rule_that_cannot_be_asked_here_leaves_the_tasks_own_weight(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert weight_of(agent(OfTheScheduler())) == 5
    assert "OfTheScheduler" in caplog.text


@pytest.mark.parametrize(("own", "weight"), [(2**31 - 1, 2**31 - 1), (-(2**31), -(2**31))])
def test_it_is_cut_as_airflow_cuts_it(own: int, weight: int) -> None:
    with DAG("report", schedule=None):
        task = BaseOperator(task_id="agent", priority_weight=own)
        task >> BaseOperator(task_id="next", priority_weight=own)
    assert weight_of(task) == weight


def test_a_context_without_a_task_has_the_usual_weight() -> None:
    assert effective_weight({"ti": SimpleNamespace()}) == 1  # type: ignore[typeddict-item]


def test_every_request_of_a_task_has_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "here")
    ti = SimpleNamespace(
        id=new_ti_id(),
        dag_id="report",
        run_id="run",
        task_id="agent",
        map_index=-1,
        try_number=1,
        max_tries=0,
        start_date=None,
        task=agent("downstream"),
    )
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=None)}
    asked, given = RequestArguments(graph="desk"), {"i1": "yes"}
    events = [
        build_event(asked, context),
        *build_events({"a": asked, "b": asked}, context).values(),
        build_answer(SimpleNamespace(answers_to=None), given, "ann", asked, context),  # type: ignore[arg-type]
        build_next_answer(SimpleNamespace(round=0, answers_to=None), 0, given, "ann", asked, context),  # type: ignore[arg-type]
    ]
    assert [event.priority for event in events] == [115] * 5
