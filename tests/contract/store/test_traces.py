"""The trace context of a request, and of the one that began its logical run."""

from __future__ import annotations

from dataclasses import replace

from langgraph_worker.domain.models import Claim, Request
from tests.support.run_store import (
    LEASE,
    Clock,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
    publish,
    request,
    result,
)
from workflow_events.headers import TRACEPARENT, value_of
from workflow_events.models import Attempt, WorkflowEvent
from workflow_events.results import ResultStatus

OTHER = attempt(1, task="o" * 64, at=9)


def trace(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


def traced(what: WorkflowEvent | Attempt | None, number: int) -> Request:
    return replace(request(what), traceparent=trace(number))


async def fails(store: Store, claim: Claim) -> None:
    assert await store.finish(claim, result(claim, ResultStatus.FAILURE))
    await publish(store)


def traces_of(claim: Claim) -> tuple[str | None, str | None]:
    return claim.first_traceparent, claim.traceparent


async def test_a_retry_has_its_own_and_the_first_ones_and_so_has_a_takeover(store: Store, clock: Clock) -> None:
    await store.accept([traced(attempt(1), 1)])
    first = await claim_one(store)
    assert traces_of(first) == (trace(1), trace(1))
    await fails(store, first)
    await store.accept([traced(attempt(2), 2)])
    assert traces_of(await claim_one(store)) == (trace(1), trace(2))
    clock.advance(LEASE + 1)
    taken = await claim_one(store, "w2")
    assert (taken.takeovers, traces_of(taken)) == (1, (trace(1), trace(2)))


async def test_a_fresh_start_is_in_a_trace_of_its_own(store: Store) -> None:
    await store.accept([traced(attempt(1), 1)])
    await fails(store, await claim_one(store))
    await store.accept([traced(attempt(2, on_retry="restart"), 2)])
    assert traces_of(await claim_one(store)) == (trace(2), trace(2))


async def test_an_answer_is_in_the_trace_of_the_run_that_asked_whoever_answers(store: Store) -> None:
    await ask(store, traced(attempt(1), 1), "i1")
    await store.accept([traced(answer(OTHER, {"i1": "yes"}), 2)])
    assert traces_of(await claim_one(store)) == (trace(1), trace(2))


async def test_a_first_request_without_one_leaves_the_trace_to_the_logical_run(store: Store) -> None:
    await store.accept([request(attempt(1))])
    await fails(store, await claim_one(store))
    await store.accept([traced(attempt(2), 2)])
    assert traces_of(await claim_one(store)) == (None, trace(2))


async def test_a_run_that_starts_over_keeps_the_trace_of_its_request(store: Store) -> None:
    await store.accept([traced(attempt(1), 1)])
    await store.start_over(await claim_one(store))
    assert traces_of(await claim_one(store)) == (trace(1), trace(1))


async def test_a_result_has_the_trace_context_of_the_start_that_ended_it(store: Store) -> None:
    await store.accept([traced(attempt(1), 1)])
    claim = await claim_one(store)
    await store.finish(replace(claim, start_traceparent=trace(9)), result(claim))
    (sent,) = await store.unpublished(10)
    assert value_of(sent.headers, TRACEPARENT) == trace(9)


async def test_a_result_of_a_start_that_is_not_traced_has_that_of_its_request(store: Store) -> None:
    await store.accept([traced(attempt(1), 1)])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    (sent,) = await store.unpublished(10)
    assert value_of(sent.headers, TRACEPARENT) == trace(1)
