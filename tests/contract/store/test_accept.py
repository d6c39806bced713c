"""Accepting: once, in order, all or nothing."""

from __future__ import annotations

from uuid import uuid4

import pytest

from langgraph_worker.domain.models import Accepted, Decision, Refusal, Request, RunStatus
from langgraph_worker.errors import RowError, StoreError
from langgraph_worker.store.migrations.schema import lineages, tasks, threads, workflow_runs
from tests.support.run_store import (
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    event,
    origin,
    refusal,
    replies,
    request,
    result,
)
from workflow_events.models import RunConfig
from workflow_events.results import ResultStatus


def decisions(accepted: list[Accepted]) -> list[Decision]:
    return [one.decision for one in accepted]


async def test_a_plain_request_is_fresh_and_waits(store: Store) -> None:
    asked = request()
    [accepted] = await store.accept([asked])
    assert (accepted.correlation_id, accepted.decision) == (asked.event.event_id, Decision.FRESH)
    assert (await store.counts())[RunStatus.PENDING] == 1
    assert await store.unpublished(10) == []


async def test_the_event_comes_back_as_it_was(store: Store, clock: Clock) -> None:
    asked = event(
        attempt(1, agent="analyst", on_clear="resume"),
        data={"text": "é\x00\U0001f600", "nested": [1, 2.5, None, {"a": True}]},
        deadline=clock.now.replace(year=2027),
        config=RunConfig(tags=["a"], recursion_limit=7, model="m", configurable={"k": [1]}),
        thread_id="talk",
    )
    await store.accept([request(asked)])
    claim = await claim_one(store)
    assert claim.event == asked
    assert claim.accepted_at == clock.now


async def test_a_repeated_request_changes_nothing(store: Store) -> None:
    asked = request()
    await store.accept([asked])
    assert decisions(await store.accept([asked, asked])) == [Decision.DUPLICATE] * 2
    claim = await claim_one(store)
    assert decisions(await store.accept([asked])) == [Decision.DUPLICATE]
    assert await store.finish(claim, result(claim))
    assert (await store.counts())[RunStatus.COMPLETED] == 1


async def test_one_batch_is_decided_in_order(store: Store) -> None:
    one, two, wrong = request(), request(), refusal(uuid4())
    accepted = await store.accept([one, wrong, one, two, wrong])
    expected = [Decision.FRESH, Decision.REFUSED, Decision.DUPLICATE, Decision.FRESH, Decision.DUPLICATE]
    assert decisions(accepted) == expected
    ids = [one.event.event_id, wrong.result.correlation_id, one.event.event_id]
    assert [item.correlation_id for item in accepted[:3]] == ids
    assert [claim.correlation_id for claim in await store.claim("w1", 10, ["graph"])] == [
        one.event.event_id,
        two.event.event_id,
    ]


async def test_an_empty_batch_is_nothing(store: Store) -> None:
    assert await store.accept([]) == []


async def test_a_refusal_is_answered_and_never_runs(store: Store) -> None:
    wrong = refusal(uuid4())
    [accepted] = await store.accept([wrong])
    assert accepted.decision is Decision.REFUSED
    assert await replies(store) == {wrong.result.correlation_id: wrong.result}
    assert await store.claim("w1", 10, ["graph"]) == []
    assert (await store.counts())[RunStatus.FAILED] == 1


async def test_a_good_copy_after_a_refusal_changes_nothing(backend: Backend, store: Store) -> None:
    good = request(attempt(1))
    await store.accept([refusal(good.event.event_id)])
    assert decisions(await store.accept([good])) == [Decision.DUPLICATE]
    assert await store.claim("w1", 10, ["graph"]) == []
    assert backend.rows(tasks) == []


async def test_a_bad_copy_of_a_waiting_request_changes_nothing(store: Store) -> None:
    good = request()
    await store.accept([good])
    assert decisions(await store.accept([refusal(good.event.event_id)])) == [Decision.DUPLICATE]
    assert (await claim_one(store)).correlation_id == good.event.event_id


async def test_a_repeated_refusal_is_published_again_with_the_same_bytes(store: Store) -> None:
    wrong = refusal(uuid4())
    await store.accept([wrong])
    first = await store.unpublished(10)
    await store.published([wrong.result.correlation_id])
    assert await store.unpublished(10) == []
    await store.accept([wrong])
    assert await store.unpublished(10) == first


async def test_a_repeated_request_is_answered_again_with_the_same_bytes(store: Store) -> None:
    asked = request()
    await store.accept([asked])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    first = await store.unpublished(10)
    await store.published([asked.event.event_id])
    assert await store.unpublished(10) == []
    [accepted] = await store.accept([asked])
    assert accepted.decision is Decision.DUPLICATE
    assert await store.unpublished(10) == first


async def test_a_repeat_that_comes_while_the_result_is_under_way_is_answered_after_it(store: Store) -> None:
    asked = request()
    await store.accept([asked])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    first = await store.unpublished(10)
    await store.accept([asked])  # its sender may read only what comes after this
    await store.published([asked.event.event_id])
    assert await store.unpublished(10) == first
    await store.published([asked.event.event_id])
    assert await store.unpublished(10) == []


@pytest.mark.parametrize(
    "broken",
    [
        request(event(data={"text": "\ud800"})),  # fails while it is decided
        Request(event(), "graph", None, origin()),  # type: ignore[arg-type]  # fails in the database
    ],
)
async def test_a_batch_that_fails_stores_nothing_of_it(backend: Backend, store: Store, broken: Request) -> None:
    before = request(attempt(1))
    await store.accept([before])
    claim = await claim_one(store)
    good: list[Request | Refusal] = [request(), request(attempt(2)), refusal(uuid4()), before]
    rows = {table: backend.rows(table) for table in (workflow_runs, tasks, lineages, threads)}
    with pytest.raises(RowError):
        await store.accept([*good, broken])
    assert {table: backend.rows(table) for table in rows} == rows
    assert await store.finish(claim, result(claim))
    accepted = await store.accept(good)
    assert decisions(accepted) == [Decision.FRESH, Decision.ANSWERED, Decision.REFUSED, Decision.DUPLICATE]


async def test_a_failure_in_the_database_says_so_without_the_values(store: Store) -> None:
    broken = Request(event(data={"secret": "hunter2"}), "graph", None, origin())  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="reply_topic") as caught:
        await store.accept([broken])
    assert "hunter2" not in str(caught.value)
    assert not caught.value.retriable


async def test_requests_of_several_workflows_do_not_meet(store: Store) -> None:
    asked = [request(attempt(1, task=f"{number:064d}", at=number)) for number in range(5)]
    assert decisions(await store.accept(asked)) == [Decision.FRESH] * 5
    claims = await store.claim("w1", 10, ["graph"])
    assert len({claim.thread_id for claim in claims}) == len({claim.logical_run for claim in claims}) == 5


async def test_two_plain_requests_are_two_lineages(store: Store) -> None:
    await store.accept([request(), request()])
    one, two = await store.claim("w1", 10, ["graph"])
    assert one.logical_run != two.logical_run
    assert one.thread_id != two.thread_id
    assert one.generation == two.generation == 1


async def test_an_oversize_refusal_is_still_answered(backend: Backend) -> None:
    store = await backend.open(max_result_bytes=16_384)
    wrong = refusal(uuid4())
    long = wrong.result.model_copy(update={"error": "x" * 100_000})
    await store.accept([Refusal(long, wrong.reply_topic, wrong.origin)])
    [answer] = (await replies(store)).values()
    assert (answer.status, answer.error_type) == (ResultStatus.ERROR, "invalid_event")
