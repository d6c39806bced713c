"""Errors that a real worker repeats by itself, over a SIGKILL while it waits; on each store, through Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, select

from devtools.broker import Broker
from devtools.processes import wait_until
from langgraph_worker.store.migrations.schema import threads, workflow_errors, workflow_runs
from tests.support.run_store import driver_url
from tests.support.worker import GRAPHS, SECONDS, Desk, Gate, desk_of
from workflow_events import ResultStatus, WorkflowResultEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

FAILING = GRAPHS / "failing" / "langgraph.json"

ENDS_IN_SECONDS = 60.0
"""A run that backs off five times needs its time, beside the other tests' processes."""

CLASSES = {
    "429:1": ("rate_limit", 5),
    "timeout": ("timeout", 3),
    "connection": ("connection", 3),
    "503": ("server_error", 3),
}
"""By error, its class and how often it is repeated."""


class Fleet:
    """A worker, and its store as another program sees it."""

    def __init__(self, desk: Desk, url: str) -> None:
        self.desk = desk
        self.engine: Engine = create_engine(driver_url(url))

    def run_of(self, request: UUID) -> dict[str, Any] | None:
        with self.engine.connect() as connection:
            found = connection.execute(select(workflow_runs).where(workflow_runs.c.correlation_id == request))
            row = found.mappings().first()
        return None if row is None else dict(row)

    def errors_of(self, request: UUID) -> list[tuple[Any, ...]]:
        names = ("attempt", "error_class", "node", "model")
        wanted = select(workflow_errors).where(workflow_errors.c.correlation_id == request)
        with self.engine.connect() as connection:
            rows = connection.execute(wanted.order_by(workflow_errors.c.id)).mappings().all()
        self.waits = [row["wait_seconds"] for row in rows]
        return [tuple(row[name] for name in names) for row in rows]

    def wait_until_it_backs_off(self, request: UUID, times: int = 1) -> dict[str, Any]:
        def backs_off() -> dict[str, Any] | None:
            row = self.run_of(request)
            counts = ((row or {}).get("retried") or {}).get("times") or {}
            return row if row and row["status"] == "PENDING" and sum(counts.values()) >= times else None

        found: dict[str, Any] = wait_until("the run to back off", backs_off, timeout=SECONDS)
        return found

    def held_threads(self) -> int:
        with self.engine.connect() as connection:
            return len(connection.execute(select(threads).where(threads.c.owner.is_not(None))).all())


@pytest.fixture(params=["sqlite", "postgres"])
def fleet(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[Fleet]:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    with desk_of(broker, tmp_path, FAILING, default_graph="failing", lease_seconds=2, store_url=url) as desk:
        found = Fleet(desk, url)
        with desk.worker:
            yield found
        found.engine.dispose()


def ask(fleet: Fleet, graph: str, *errors: str, **fields: Any) -> tuple[Gate, UUID]:
    gate = fleet.desk.gate()
    data = {"ledger": gate.data["ledger"], "errors": list(errors)}
    return gate, fleet.desk.ask(graph, data, **fields)


def kill_and_start(desk: Desk) -> None:
    assert desk.worker.child is not None
    desk.worker.child.kill()
    desk.worker.launch()
    desk.worker.wait_ready()


def calls(gate: Gate) -> int:
    return sum(line.startswith("call") for line in gate.ledger)


def only_answer(fleet: Fleet, request: UUID) -> WorkflowResultEvent:
    """The one result of a request: a kill may have it delivered again, and then it is sent again, as it was."""
    wait_until("the run to end", lambda: (fleet.run_of(request) or {}).get("finished_at"), timeout=ENDS_IN_SECONDS)
    found = fleet.desk.answer(request)
    fleet.desk.run("failing", {"ledger": fleet.desk.gate().data["ledger"], "errors": []})  # a later one is there
    assert len({bytes(message.value()) for message in fleet.desk.messages(request)}) == 1
    return found


def test_each_class_is_repeated_so_often_and_its_counts_outlive_a_kill(fleet: Fleet) -> None:
    # One more than is counted: the kill may end a start between its call and the count of it.
    asked = {error: ask(fleet, "failing", *[error] * (times + 2)) for error, (_, times) in CLASSES.items()}
    for error, (_, request) in asked.items():
        if error == "429:1":
            fleet.wait_until_it_backs_off(request, 2)
    kill_and_start(fleet.desk)
    for error, (gate, request) in asked.items():
        kind, times = CLASSES[error]
        result = only_answer(fleet, request)
        assert result.status is ResultStatus.FAILURE
        assert result.error is not None
        assert result.error.endswith(f"; the worker has repeated it {times} times ({kind})")
        assert result.retriable is True
        found = fleet.errors_of(request)
        assert [row[1:] for row in found] == [(kind, "ask", "small")] * (times + 1)
        assert len(fleet.waits) == times + 1
        assert all(wait > 0 for wait in fleet.waits[:-1])
        assert fleet.waits[-1] is None
        # A start that the kill ended has called the model, and left no row.
        assert times + 1 <= calls(gate) <= times + 2
        assert gate.ledger.count("fetch") == 1


def test_a_run_that_waits_holds_nothing_and_goes_on_from_its_checkpoint_after_a_kill(fleet: Fleet) -> None:
    gate, request = ask(fleet, "failing", "429:4")
    row = fleet.wait_until_it_backs_off(request)
    assert row["retried"]["times"] == {"rate_limit": 1}
    assert fleet.held_threads() == 0
    kill_and_start(fleet.desk)
    result = only_answer(fleet, request)
    assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 2)
    assert gate.ledger == ["fetch", "call small", "call small"]
    assert fleet.errors_of(request) == [(1, "rate_limit", "ask", "small")]
    assert 4.0 <= fleet.waits[0] <= 5.0


def test_a_run_that_is_too_long_goes_on_with_the_other_model(fleet: Fleet) -> None:
    gate, request = ask(fleet, "failing", "too_long", "connection")
    result = only_answer(fleet, request)
    assert (result.status, result.result and result.result["model"]) == (ResultStatus.SUCCESS, "large")
    assert gate.ledger == ["fetch", "call small", "call large", "call large"]
    assert [row[1:] for row in fleet.errors_of(request)] == [
        ("context_length", "ask", "small"),
        ("connection", "ask", "large"),
    ]


def test_a_deadline_that_passes_while_a_run_waits_says_what_it_waited_for(fleet: Fleet) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=12)
    gate, request = ask(fleet, "failing", "429:4", deadline=deadline.isoformat())
    fleet.wait_until_it_backs_off(request)
    assert fleet.desk.worker.child is not None
    fleet.desk.worker.child.kill()
    wait_until("the deadline to pass", lambda: datetime.now(UTC) > deadline, timeout=SECONDS)
    fleet.desk.worker.launch()
    result = only_answer(fleet, request)
    assert (result.status, result.error_type, result.attempts) == (ResultStatus.TIMEOUT, "deadline", 1)
    assert result.error is not None
    assert " passed while the run waited to be repeated (rate_limit, retry 1) after node 'ask': " in result.error
    assert "HTTPStatusError: 429:4; it was due again at " in result.error
    assert calls(gate) == 1


def test_a_failure_within_a_stream_and_one_of_httpx2_are_repeated(fleet: Fleet) -> None:
    _, request = ask(fleet, "failing", "in_stream", "connection_of_httpx2")
    assert only_answer(fleet, request).status is ResultStatus.SUCCESS
    assert [row[1] for row in fleet.errors_of(request)] == ["server_error", "connection"]


def test_an_exception_that_cannot_be_read_ends_its_run(fleet: Fleet) -> None:
    gate, request = ask(fleet, "failing", "unreadable")
    result = only_answer(fleet, request)
    assert (result.status, result.error) == (ResultStatus.FAILURE, "node 'ask': UnreadableError: ?")
    assert (calls(gate), fleet.errors_of(request)) == (1, [(1, "final", "ask", "small")])


def test_what_waits_can_be_cancelled_and_slots_are_free_meanwhile(fleet: Fleet) -> None:
    waiting = [ask(fleet, "waiting", "503")[1] for _ in range(30)]  # a 429 would hold back the calls of the others
    for request in waiting:
        fleet.wait_until_it_backs_off(request)
    ledger = fleet.desk.gate().data["ledger"]
    assert fleet.desk.run("failing", {"ledger": ledger, "errors": []}).status is ResultStatus.SUCCESS
    fleet.desk.cancel(waiting[0], "enough")
    assert fleet.desk.answer(waiting[0]).status is ResultStatus.CANCELLED


def test_a_graph_that_wants_no_retries_and_a_final_error_end_at_once(fleet: Fleet) -> None:
    gate, request = ask(fleet, "strict", "429:9")
    result = only_answer(fleet, request)
    assert (result.status, result.retriable, result.retry_after_seconds) == (ResultStatus.FAILURE, True, 9.0)
    assert calls(gate) == 1
    gate, request = ask(fleet, "failing", "final")
    assert only_answer(fleet, request).status is ResultStatus.FAILURE
    assert (calls(gate), fleet.errors_of(request)) == (1, [(1, "final", "ask", "small")])
