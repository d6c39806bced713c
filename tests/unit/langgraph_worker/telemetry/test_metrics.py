"""The figures of a worker: a closed list, with labels that cannot grow without bound."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from langgraph_worker.domain.models import Decision, FleetFigures
from langgraph_worker.telemetry import figures
from langgraph_worker.telemetry.metrics import Metrics
from workflow_events.results import ModelUsage, ResultStatus, WorkflowResultEvent


def claim(graph: str = "g", attempts: int = 1) -> Any:
    return SimpleNamespace(graph=graph, attempts=attempts)


def ended(status: ResultStatus = ResultStatus.SUCCESS, error_type: str | None = None) -> WorkflowResultEvent:
    fields: dict[str, Any] = {"correlation_id": "6e1dc6e4-6d5f-4a0f-9a6e-1c2f4f1b7a10", "workflow_id": "d"}
    return WorkflowResultEvent(**fields, workflow_run_id="r", status=status, error_type=error_type)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(figures.PREFIX + name, labels)


def names(metrics: Metrics) -> set[str]:
    """What the registry holds, without what the process itself has."""
    return {family.name for family in metrics.registry.collect() if not family.name.startswith("process_")}


def test_the_registry_holds_the_list_and_nothing_else() -> None:
    listed = {figure.full_name.removesuffix("_total") for figure in figures.FIGURES}
    assert names(Metrics(["g"])) == listed
    assert len(listed) == len(figures.FIGURES)


@pytest.mark.parametrize("figure", figures.FIGURES, ids=lambda figure: figure.name)
def test_a_figure_is_named_as_prometheus_wants_it_and_says_what_it_means(figure: figures.Figure) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", figure.name)
    assert figure.name.endswith("_total") == (figure.kind == "counter")
    assert bool(figure.buckets) == (figure.kind == "histogram")
    assert list(figure.buckets) == sorted(figure.buckets)
    assert figure.meaning
    assert all(label.values for label in figure.labels)


def test_an_end_counts_by_graph_and_status_with_its_time_and_tokens() -> None:
    metrics = Metrics(["g"])
    used = {"m": ModelUsage(input_tokens=10, output_tokens=5, cost_usd=0.5), "n": ModelUsage(input_tokens=1)}
    metrics.ended(claim(), ended(), 2.0)
    metrics.spent(used)
    metrics.ended(claim(), ended(ResultStatus.FAILURE, "budget_exceeded"), 40.0)
    assert value(metrics, "runs_total", graph="g", status="success") == 1
    assert value(metrics, "runs_total", graph="g", status="failure") == 1
    assert value(metrics, "run_seconds_sum", graph="g") == 42.0
    assert value(metrics, "run_seconds_bucket", graph="g", le="2.5") == 1
    assert value(metrics, "tokens_total", model="m", kind="input") == 10
    assert value(metrics, "tokens_total", model="m", kind="output") == 5
    assert value(metrics, "cost_usd_total", model="m") == 0.5
    assert value(metrics, "cost_usd_total", model="n") == 0
    assert value(metrics, "budget_stops_total", graph="g") == 1


def test_starts_tell_the_first_from_those_that_follow() -> None:
    metrics = Metrics(["g"])
    for attempts in (1, 1, 2, 3):
        metrics.started(claim(attempts=attempts))
    assert value(metrics, "run_starts_total", graph="g", start="first") == 2
    assert value(metrics, "run_starts_total", graph="g", start="again") == 2


def test_a_graph_of_another_worker_is_counted_with_the_others() -> None:
    metrics = Metrics(["g"])
    for number in range(200):
        metrics.accepted(f"made-up-{number}", Decision.FRESH)
    assert value(metrics, "requests_total", graph="other", decision="fresh") == 200
    assert value(metrics, "requests_total", graph="made-up-1", decision="fresh") is None


def test_an_error_type_that_is_not_listed_is_counted_with_the_others() -> None:
    metrics = Metrics(["g"])
    metrics.refused("invalid_event")
    metrics.refused("made up")
    metrics.dead_letter("made up")
    assert value(metrics, "refused_total", error_type="invalid_event") == 1
    assert value(metrics, "refused_total", error_type="other") == 1
    assert value(metrics, "dead_letters_total", error_type="other") == 1


def test_the_names_of_models_are_bounded() -> None:
    metrics = Metrics(["g"])
    for number in range(figures.MOST_MODELS + 50):
        metrics.spent({f"model-{number}": ModelUsage(input_tokens=1)})
    metrics.spent({"model-0": ModelUsage(input_tokens=1)})
    assert value(metrics, "tokens_total", model="model-0", kind="input") == 2
    assert value(metrics, "tokens_total", model=f"model-{figures.MOST_MODELS}", kind="input") is None
    assert value(metrics, "tokens_total", model="other", kind="input") == 50


def test_the_fleet_is_as_the_store_said_last() -> None:
    metrics = Metrics(["g", "h"])
    metrics.set_fleet(FleetFigures({"g": 3, "x": 1, "y": 1}, {"h": 2}, 7))
    assert value(metrics, "fleet_requests_waiting", graph="g") == 3
    assert value(metrics, "fleet_requests_waiting", graph="other") == 2
    assert value(metrics, "fleet_requests_running", graph="h") == 2
    assert value(metrics, "fleet_results_unpublished") == 7
    metrics.set_fleet(FleetFigures({}, {"g": 1}, 0))
    assert value(metrics, "fleet_requests_waiting", graph="g") == 0
    assert value(metrics, "fleet_requests_waiting", graph="other") == 0
    assert value(metrics, "fleet_requests_running", graph="g") == 1
    assert value(metrics, "fleet_requests_running", graph="h") == 0
