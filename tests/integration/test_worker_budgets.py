"""A budget holds in a real worker, over a SIGKILL in the middle of the run; on each store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.broker import Broker
from tests.support.worker import GRAPHS, Desk, desk_of
from workflow_events import ResultStatus, WorkflowResultEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

PAID = GRAPHS / "paid" / "langgraph.json"


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[Desk]:
    store = {"store_url": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}
    with desk_of(broker, tmp_path, PAID, default_graph="paid", lease_seconds=2, **store) as desk, desk.worker:
        yield desk


def test_a_budget_holds_over_a_kill(desk: Desk) -> None:
    gate = desk.gate()
    event = desk.ask("paid", gate.data, budget={"tokens": 150})
    gate.wait_for("waiting")
    assert desk.worker.child is not None
    desk.worker.child.kill()
    gate.open()
    desk.worker.launch()
    desk.worker.wait_ready()
    result = desk.answer(event)
    assert (result.status, result.error_type, result.attempts) == (ResultStatus.FAILURE, "budget_exceeded", 2)
    assert "200 tokens spent, 150 tokens allowed by the event" in (result.error or "")
    assert gate.ledger == ["a", "waiting", "waiting", "b"]
    assert {model: (used.requests, used.total_tokens) for model, used in result.usage.items()} == {"paid-1": (2, 200)}


def test_the_budget_of_langgraph_json_holds_for_an_event_without_one(desk: Desk) -> None:
    gate = desk.gate()
    gate.open()
    result = desk.run("capped", gate.data)
    assert result.status is ResultStatus.SUCCESS  # the last node may spend more than was left
    result = desk.run("capped", gate.data, budget={"tokens": 100})
    assert "100 tokens spent, 100 tokens allowed by the event" in (result.error or "")


def spent(results: list[WorkflowResultEvent]) -> list[int]:
    return [sum(used.total_tokens for used in result.usage.values()) for result in results]


@pytest.mark.parametrize(
    ("graph", "budget", "text"),
    [
        ("paid", {"dag_run": {"tokens": 450}}, "500 tokens spent by this DAG run, 450 tokens allowed by the event"),
        ("daily", None, "500 tokens spent today (UTC) by graph 'daily', 450 tokens allowed by the entry of graph"),
    ],
    ids=["a DAG run's", "a day's"],
)
def test_a_shared_budget_holds_over_a_kill(desk: Desk, graph: str, budget: Any, text: str) -> None:
    first, second = desk.gate(), desk.gate()
    asked = [desk.ask(graph, gate.data, budget=budget) for gate in (first, second)]
    for gate in (first, second):
        gate.wait_for("waiting")
    assert desk.worker.child is not None
    desk.worker.child.kill()
    desk.worker.launch()
    desk.worker.wait_ready()
    first.open()  # 300 tokens; and 100 of the second, which were spent before the kill
    results = [desk.answer(asked[0])]
    second.open()
    results.append(desk.answer(asked[1]))
    assert [result.status for result in results] == [ResultStatus.SUCCESS, ResultStatus.FAILURE]
    assert results[1].error_type == "budget_exceeded"
    assert text in (results[1].error or "")
    assert (spent(results), second.ledger) == ([300, 200], ["a", "waiting", "waiting", "b"])
