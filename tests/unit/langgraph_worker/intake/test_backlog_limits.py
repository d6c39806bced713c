"""BacklogLimits: when a graph is full, of requests and of answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from langgraph_worker.domain.models import Backlog, WorkerInfo
from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.intake.seen_deployments import SeenDeployments
from langgraph_worker.settings.load import load_settings
from tests.support.run_store import answer, attempt, event, request
from workflow_events.codec import Record

LARGE = 10_000


class Store:
    """Holds so much."""

    def __init__(self) -> None:
        self.found: Mapping[tuple[str, str], Backlog] = {}
        self.announced: list[str] = []

    async def backlog(self) -> Mapping[tuple[str, str], Backlog]:
        return self.found

    async def workers(self, within: float) -> list[WorkerInfo]:
        return [WorkerInfo("w2", "1", "events", "group", dict.fromkeys(self.announced, ""))]


def waiting(count: int, size: int = 0) -> Backlog:
    return Backlog(count, size, 0, 0)


async def looked(store: Store, seen: SeenDeployments | None = None) -> BacklogLimits:
    """Limits of ten requests, after a look."""
    settings = load_settings({"max_waiting": "10", "max_waiting_bytes": str(LARGE)})
    limits = BacklogLimits(store, settings, ["desk"], seen)
    await limits.look()
    return limits


async def test_alone_a_deployment_waits_in_kafka(caplog):
    store = Store()
    store.found = {("desk", "a"): waiting(10)}
    limits = await looked(store)
    assert limits.is_full
    assert limits.overload(request(attempt(1, deployment="a"), "desk")) is None
    assert "no events are taken in, of any graph" in caplog.text


@pytest.mark.parametrize("found", [waiting(5), waiting(30), waiting(1, LARGE // 2)])
async def test_beside_others_a_deployment_has_half(found, caplog):
    store = Store()
    store.found = {("desk", "a"): found, ("desk", ""): waiting(4)}
    limits = await looked(store)
    assert limits.is_full == (found.requests == 30)
    why = limits.overload(request(attempt(1, deployment="a"), "desk"))
    assert f"{found.requests} requests" in (why or "")
    assert "of graph desk by deployment 'a'" in caplog.text
    assert "LANGGRAPH_WORKER_MAX_WAITING=10" in (why or "")
    assert limits.overload(request(event(), "desk")) is None
    assert limits.overload(request(attempt(1, deployment="a"), "other")) is None
    assert limits.overload(request(answer(attempt(1, deployment="a"), {"i": 1}), "desk")) is None


async def test_a_quick_flood_does_not_pass_the_limit_between_two_looks():
    """At twice the limit it would hold up a deployment behind it, which nobody has seen yet."""
    store, seen = Store(), SeenDeployments()
    store.found = {("desk", ""): waiting(4)}
    limits = await looked(store, seen)
    for left in reversed(range(6)):
        assert not limits.is_full
        assert limits.overload(request(event(), "desk")) is None
        assert limits.is_full == (left == 0)
    seen.see("other")
    store.found = {("desk", ""): waiting(10)}
    await limits.look()
    assert not limits.is_full
    assert limits.overload(request(event(), "desk")) is not None
    assert not limits.is_full


async def test_answers_and_other_graphs_do_not_fill_a_graph_between_two_looks():
    limits = await looked(Store())
    for number in range(20):
        limits.overload(request(answer(attempt(1), {"i": 1}), "desk"))
        limits.overload(request(event(), "desk" if number % 3 == 0 else f"g{number % 3}"))
    assert limits.is_full  # of the unknown ones
    store = Store()
    store.announced = ["g1", "g2"]
    limits = await looked(store)
    for number in range(20):
        limits.overload(request(answer(attempt(1), {"i": 1}), "desk"))
        limits.overload(request(event(), "desk" if number % 3 == 0 else f"g{number % 3}"))
    assert not limits.is_full


async def test_graphs_that_no_worker_knows_count_together():
    store = Store()
    store.found = {(f"g{number}", "a"): waiting(1) for number in range(10)}
    assert (await looked(store)).is_full
    store.announced = ["g1"]
    assert not (await looked(store)).is_full
    store.found = {**store.found, ("desk", "b"): waiting(1)}
    limits = await looked(store)
    assert limits.overload(request(attempt(1, deployment="a"), "g77")) is not None
    assert limits.overload(request(attempt(1, deployment="a"), "g1")) is None


async def test_a_deployment_behind_a_full_graph_is_seen_before_it_is_taken_in():
    store, seen = Store(), SeenDeployments()
    store.found = {("desk", ""): waiting(10)}
    assert (await looked(store, seen)).is_full
    seen.look_at(record({"attempt": {"agent": "default", "deployment": "b"}}))
    limits = await looked(store, seen)
    assert not limits.is_full
    assert limits.overload(request(event(), "desk")) is not None


def record(body: dict[str, Any]) -> Record:
    return Record("events", 0, 1, json.dumps(body).encode())


async def test_what_only_looks_like_another_deployment_is_none():
    seen = SeenDeployments()
    bodies: list[dict[str, Any]] = [{}, {"attempt": None}, {"payload": {"data": {"deployment": "b"}}}]
    for body in bodies:
        seen.look_at(record(body))
    assert not seen.are_several


async def test_deployments_are_forgotten_in_a_day_and_many_take_no_room():
    now = 0.0
    seen = SeenDeployments(lambda: now)
    for number in range(1_000):
        seen.see(f"d{number}")
    assert seen.are_several
    now = 90_000.0
    assert not seen.are_several
    seen.see("a")
    assert not seen.are_several


@pytest.mark.parametrize(
    ("backlog", "full"),
    [
        (Backlog(2, LARGE - 1, 2, LARGE - 1), (False, False)),
        (Backlog(3, 0, 0, 0), (True, False)),
        (Backlog(1, LARGE, 1, 1), (True, False)),
        (Backlog(0, 0, 3, 0), (True, True)),
        (Backlog(0, 0, 1, LARGE), (True, True)),
    ],
)
async def test_answers_have_limits_of_their_own(backlog, full, caplog):
    store = Store()
    limits = BacklogLimits(store, load_settings({"max_waiting": "3", "max_waiting_bytes": str(LARGE)}))
    store.found = {("idle", ""): Backlog(0, 0, 0, 0), ("busy", ""): backlog}
    await limits.look()
    assert (limits.is_full, limits.is_full_of_answers) == full
    assert ("no events are taken in" in caplog.text) == full[0]
    store.found = {}
    await limits.look()
    assert (limits.is_full, limits.is_full_of_answers) == (False, False)
