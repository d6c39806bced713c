"""What a run has spent, as an XCom and in the task's log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_langgraph.exceptions import RunError
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.usage import as_xcom, summed
from workflow_events.results import Interrupt, ModelUsage, ResultStatus, WorkflowResultEvent

BIG = ModelUsage(
    input_tokens=900,
    output_tokens=100,
    total_tokens=1_000,
    requests=2,
    tool_calls=1,
    cache_read_tokens=300,
    cost_usd=0.0123,
)
SMALL = ModelUsage(input_tokens=10, output_tokens=5, total_tokens=15, requests=1, cost_usd=0.0000004)
FLAT = {
    "requests": 3,
    "input_tokens": 910,
    "output_tokens": 105,
    "total_tokens": 1_015,
    "tool_calls": 1,
    "cache_read_tokens": 300,
    "cache_write_tokens": 0,
    "cost": "0.0123004",
}


def answer(status: ResultStatus, **usage: ModelUsage) -> WorkflowResultEvent:
    asks = [Interrupt(id="i1", value="sure?")] if status is ResultStatus.INTERRUPTED else []
    return WorkflowResultEvent(
        correlation_id=uuid4(), workflow_id="d", workflow_run_id="r", status=status, usage=usage, interrupts=asks
    )


def finish(result: WorkflowResultEvent, push: Any = None, **arguments: Any) -> dict[str, Any]:
    """What a task has pushed whose reply this is."""
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=push or (lambda key, value: pushed.update({key: value})))
    operator = LangGraphTriggerOperator(task_id="t", **arguments)
    try:
        operator._return(result, {"ti": ti})  # type: ignore[typeddict-item]
    except RunError as error:
        assert error.result is result
    return pushed


@pytest.mark.parametrize("status", [ResultStatus.SUCCESS, ResultStatus.FAILURE, ResultStatus.INTERRUPTED])
def test_the_usage_is_pushed_however_the_run_ended(status: ResultStatus) -> None:
    usage = finish(answer(status, big=BIG, small=SMALL))["usage"]
    assert {key: value for key, value in usage.items() if key != "models"} == FLAT
    assert usage["models"]["big"]["cost"] == "0.0123"
    assert usage["models"]["small"]["total_tokens"] == 15


def test_a_cost_that_is_not_known_is_none_and_not_zero() -> None:
    usage = as_xcom({"big": BIG, "own": ModelUsage(total_tokens=5)})
    assert (usage["cost"], usage["models"]["own"]["cost"], usage["models"]["big"]["cost"]) == (None, None, "0.0123")


def test_a_run_that_called_no_model_pushes_none() -> None:
    assert finish(answer(ResultStatus.SUCCESS)) == {}


def test_a_task_that_pushes_no_xcoms_pushes_none_of_it() -> None:
    assert finish(answer(ResultStatus.SUCCESS, big=BIG), do_xcom_push=False) == {}


def test_an_xcom_that_cannot_be_written_hides_no_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(key: str, value: Any) -> None:
        raise OSError("the API server is away")

    finish(answer(ResultStatus.SUCCESS, big=BIG), refuse)
    assert "The XCom 'usage' cannot be written: the API server is away" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "used", "text"),
    [
        (ResultStatus.SUCCESS, BIG, "The agent succeeded, 1,000 tokens of big, $0.0123 (request"),
        (ResultStatus.SUCCESS, ModelUsage(total_tokens=7), "succeeded, 7 tokens of big, cost not known (request"),
        (ResultStatus.FAILURE, BIG, "The agent has used 1,000 tokens of big, $0.0123"),
    ],
)
def test_the_log_says_what_it_cost(
    status: ResultStatus, used: ModelUsage, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(answer(status, big=used))
    assert text in capsys.readouterr().out


def test_the_usage_of_several_runs_is_summed_by_model() -> None:
    one = {"m": ModelUsage(requests=1, total_tokens=10, cost_usd=0.5), "n": ModelUsage(total_tokens=1)}
    other = {"m": ModelUsage(requests=2, total_tokens=5, cost_usd=0.25), "n": ModelUsage(total_tokens=1, cost_usd=1.0)}
    assert summed([one, {}, other]) == {
        "m": ModelUsage(requests=3, total_tokens=15, cost_usd=0.75),
        "n": ModelUsage(total_tokens=2, cost_usd=None),
    }
    assert summed([]) == {}
