"""Pauses: what they hold back, what they do not, and which message of several counts."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, insert

from langgraph_worker.domain.models import Cancelled, FleetFigures, RunStatus
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.store.migrations.schema import pauses
from tests.support.run_store import (
    START,
    Backend,
    Clock,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
    driver_url,
    event,
    holds,
    prune,
    replies,
    request,
    result,
)
from tests.support.steering import cancel, is_cancelled
from workflow_events.control import PauseScope
from workflow_events.results import ResultStatus

FLEET, GRAPH, WORKFLOW = PauseScope.FLEET, PauseScope.GRAPH, PauseScope.WORKFLOW
NAMES = {FLEET: "", GRAPH: "graph", WORKFLOW: "dag"}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def paused(scope: PauseScope = FLEET, name: str | None = None, seconds: float = 0, **changes: Any) -> PauseChange:
    return PauseChange(scope, NAMES[scope] if name is None else name, True, at(seconds), **changes)


def unpaused(scope: PauseScope = FLEET, name: str | None = None, seconds: float = 1, **changes: Any) -> PauseChange:
    return PauseChange(scope, NAMES[scope] if name is None else name, False, at(seconds), **changes)


@pytest.mark.parametrize("scope", PauseScope)
async def test_nothing_of_what_is_paused_starts_and_nothing_is_lost(store: Store, scope: PauseScope) -> None:
    change = paused(scope, reason="markets are closed", requested_by="ann")
    assert await store.pause([change]) == [change]
    asked = [request() for _ in range(3)]
    await store.accept(asked)
    ids = [one.event.event_id for one in asked]
    assert await store.claim("w1", 10, ["graph"]) == []
    assert await store.can_start(ids, ["graph"]) == set()
    assert await store.pauses() == [change]
    assert await store.fleet_figures() == FleetFigures({"graph": 3}, {}, 0, 1)
    end = unpaused(scope)
    assert await store.pause([end]) == [end]
    assert await store.pauses() == []
    claims = await store.claim("w1", 10, ["graph"])
    assert [(claim.correlation_id, claim.attempts, claim.takeovers) for claim in claims] == [(one, 1, 0) for one in ids]


@pytest.mark.parametrize(
    ("scope", "name"), [(GRAPH, "graph2"), (WORKFLOW, "dag2"), (GRAPH, "dag"), (WORKFLOW, "graph")]
)
async def test_what_is_not_named_starts(store: Store, scope: PauseScope, name: str) -> None:
    await store.pause([paused(scope, name)])
    await store.accept([request()])
    await claim_one(store)


async def test_a_run_waits_until_every_pause_that_holds_it_has_ended(store: Store) -> None:
    await store.pause([paused(scope) for scope in PauseScope])
    await store.accept([request()])
    for scope in PauseScope:
        assert await store.claim("w1", 10, ["graph"]) == []
        await store.pause([unpaused(scope)])
    await claim_one(store)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_latest_message_counts_in_whatever_order_they_are_read(store: Store, order: Any) -> None:
    messages = [paused(seconds=0), unpaused(seconds=1), paused(seconds=2, reason="again")]
    for number in order:
        await store.pause([messages[number]])
    assert await store.pauses() == [messages[2]]
    assert await store.pause(messages) == []  # the topic is read again


async def test_an_older_pause_never_beats_a_newer_unpause(store: Store) -> None:
    assert await store.pause([unpaused(GRAPH, seconds=5)]) == [unpaused(GRAPH, seconds=5)]
    assert await store.pause([paused(GRAPH, seconds=4)]) == []
    assert await store.pauses() == []


async def test_of_two_at_the_same_instant_the_pause_counts_and_the_harder_one(store: Store) -> None:
    hard = paused(at_once=True)
    await store.pause([unpaused(seconds=0)])
    assert await store.pause([paused(), hard, unpaused(seconds=0)]) == [hard]
    assert await store.pause([paused()]) == []
    assert await store.pauses() == [hard]


async def test_several_scopes_change_in_one_batch_and_each_keeps_its_newest(store: Store) -> None:
    batch = [paused(GRAPH, "b"), paused(), unpaused(), paused(GRAPH, "a"), paused(WORKFLOW, "a")]
    assert await store.pause(batch) == [unpaused(), paused(GRAPH, "a"), paused(GRAPH, "b"), paused(WORKFLOW, "a")]
    assert await store.pauses() == [paused(GRAPH, "a"), paused(GRAPH, "b"), paused(WORKFLOW, "a")]
    assert await store.pause([]) == []


async def test_a_pause_outlives_the_worker_and_prune(backend: Backend, store: Store, clock: Clock) -> None:
    await store.pause([paused()])
    await prune(store, clock)
    await store.close()
    again = await backend.open()
    assert await again.pauses() == [paused()]
    await again.accept([request()])
    assert await again.claim("w1", 10, ["graph"]) == []


async def test_what_no_database_keeps_in_a_text_is_marked(store: Store) -> None:
    await store.pause([paused(WORKFLOW, "d\0g", reason="a\0b", requested_by="\ud800")])
    assert await store.pauses() == [paused(WORKFLOW, "d\ufffdg", reason="a\ufffdb", requested_by="?")]


async def test_what_runs_goes_on_and_a_release_counts_nothing(store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    await store.pause([paused()])
    assert await holds(store, claim.lease)
    await store.release(claim)
    assert await store.claim("w1", 10, ["graph"]) == []
    assert (await store.counts())[RunStatus.PENDING] == 1
    await store.pause([unpaused()])
    assert (await claim_one(store)).takeovers == 0


async def test_a_run_whose_worker_died_is_not_taken_over_while_it_is_paused(
    backend: Backend, store: Store, clock: Clock
) -> None:
    await store.accept([request()])
    await claim_one(store)
    await store.pause([paused()])
    await store.close()
    backend.forget_owners()
    other = await backend.open()
    assert await other.claim("w2", 10, ["graph"]) == []
    await other.pause([unpaused()])
    assert (await claim_one(other, "w2")).takeovers == 1


async def test_what_runs_may_end_during_a_pause(store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    await store.pause([paused()])
    assert await store.finish(claim, result(claim))
    assert (await replies(store))[claim.correlation_id].status is ResultStatus.SUCCESS


async def test_cancels_newer_attempts_and_answers_are_taken_during_a_pause(store: Store) -> None:
    asked = request(attempt(1, task="a" * 64))
    claim = await ask(store, asked, "q")
    await store.pause([paused()])
    cancelled, older = request(), request(attempt(1, task="b" * 64, at=5))
    given = request(answer(attempt(1, task="a" * 64), {"q": "yes"}))
    await store.accept([cancelled, older, given])
    assert await cancel(store, cancelled.event.event_id) == [Cancelled.ENDED]
    await is_cancelled(store, cancelled.event.event_id)
    assert await store.supersede([attempt(2, task="b" * 64)]) == 1
    assert await store.claim("w1", 10, ["graph"]) == []
    await store.pause([unpaused()])
    answered = await claim_one(store)
    assert (answered.correlation_id, answered.answers) == (given.event.event_id, {"q": "yes"})
    assert answered.logical_run == claim.logical_run


async def test_a_run_behind_a_paused_one_on_its_thread_keeps_its_turn(store: Store) -> None:
    first = event(thread_id="talk", workflow_id="paused")
    second = event(thread_id="talk", workflow_id="other")
    await store.pause([paused(WORKFLOW, "paused")])
    await store.accept([request(first), request(second)])
    assert await store.claim("w1", 10, ["graph"]) == []
    await store.pause([unpaused(WORKFLOW, "paused")])
    assert [claim.correlation_id for claim in await store.claim("w1", 10, ["graph"])] == [first.event_id]


WHY = "Deadlines run on during a pause."


@pytest.mark.parametrize("scope", PauseScope)
async def test_the_answer_of_a_deadline_that_passed_in_a_pause_says_so(
    store: Store, clock: Clock, scope: PauseScope
) -> None:
    words = {FLEET: "the fleet", GRAPH: "graph 'graph'", WORKFLOW: "workflow 'dag'"}
    late = event(deadline=at(60))
    await store.accept([request(late)])
    await store.pause([paused(scope, seconds=10, reason="stop\n\x1b[2Jit", requested_by="ann")])
    clock.advance(61)
    assert await store.expire(["graph"], 60) == 1
    reply = (await replies(store))[late.event_id]
    assert (reply.status, reply.error_type) == (ResultStatus.TIMEOUT, "deadline")
    since = "is paused since 2026-03-01 12:00:10 UTC by ann: stop\\n\\x1b[2Jit"
    assert f"{words[scope]} {since}. {WHY}" in str(reply.error)


async def test_a_pause_that_came_after_the_deadline_is_not_its_cause(store: Store, clock: Clock) -> None:
    late = event(deadline=at(60))
    await store.accept([request(late)])
    clock.advance(61)
    await store.pause([paused(seconds=60.5)])
    assert await store.expire(["graph"], 60) == 1
    assert "paused" not in str((await replies(store))[late.event_id].error)


async def test_a_pause_that_holds_another_run_is_not_its_cause(store: Store, clock: Clock) -> None:
    late = event(deadline=at(60))
    await store.accept([request(late)])
    await store.pause([paused(GRAPH, "other"), paused(WORKFLOW, "other"), paused(), unpaused()])
    clock.advance(61)
    assert await store.expire(["graph"], 60) == 1
    assert "paused" not in str((await replies(store))[late.event_id].error)


async def test_a_long_reason_is_cut_in_the_answer(store: Store, clock: Clock) -> None:
    late = event(deadline=at(60))
    await store.accept([request(late)])
    await store.pause([paused(reason="x" * 2_000)])
    clock.advance(61)
    await store.expire(["graph"], 60)
    assert f": {'x' * 200}…. {WHY}" in str((await replies(store))[late.event_id].error)


@pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)
async def test_a_scope_of_a_newer_version_is_left_alone(backend: Backend, store: Store) -> None:
    engine = create_engine(driver_url(backend.url))
    row = {"scope": "planet", "name": "graph", "is_on": True, "at_once": True, "reason": "", "changed_at": START}
    with engine.begin() as connection:
        connection.execute(insert(pauses).values(row))
    engine.dispose()
    assert await store.pauses() == []
    assert await store.pause([paused(GRAPH)]) == [paused(GRAPH)]
    assert await store.pauses() == [paused(GRAPH)]
