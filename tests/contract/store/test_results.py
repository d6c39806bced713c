"""Ending: results, their bytes, their way out, and what ends by itself."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from langgraph_worker.domain.models import Failure, RunStatus, Step, StepStatus
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.store.migrations.schema import model_usage, step_executions, workflow_errors, workflow_runs
from tests.support.run_store import (
    LEASE,
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    event,
    refusal,
    replies,
    request,
    result,
)
from workflow_events.codec import Record, decode_result, encode
from workflow_events.results import ModelUsage, ResultStatus


async def test_the_end_of_a_run_is_stored_whole(backend: Backend, store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    clock.advance(1)
    usage = {"m": ModelUsage(input_tokens=10, output_tokens=5, total_tokens=15), "n": ModelUsage()}
    ended = result(claim, ResultStatus.FAILURE, error="boom", error_type="ValueError", usage=usage)
    failure = Failure("ValueError", "boom \x00", "Traceback ...\ud800", node="writer")
    assert await store.finish(claim, ended, failure)
    [run] = backend.rows(workflow_runs)
    assert (run["status"], run["result_status"], run["error_type"]) == ("FAILED", "failure", "ValueError")
    assert (run["finished_at"], run["published_at"], run["worker_id"]) == (clock.now, None, "w1")
    [error] = backend.rows(workflow_errors)
    assert (error["message"], error["traceback"]) == (clean(failure.message), clean(failure.traceback))
    assert (error["node"], error["attempt"], error["worker_id"]) == ("writer", 1, "w1")
    assert [(row["model"], row["total_tokens"]) for row in backend.rows(model_usage)] == [("m", 15), ("n", 0)]


@pytest.mark.parametrize(
    ("status", "expected", "step"),
    [
        (ResultStatus.SUCCESS, RunStatus.COMPLETED, "COMPLETED"),
        (ResultStatus.FAILURE, RunStatus.FAILED, "FAILED"),
        (ResultStatus.ERROR, RunStatus.FAILED, "FAILED"),
        (ResultStatus.TIMEOUT, RunStatus.FAILED, "FAILED"),
        (ResultStatus.CANCELLED, RunStatus.CANCELLED, "FAILED"),
        (ResultStatus.INTERRUPTED, RunStatus.INTERRUPTED, "INTERRUPTED"),
    ],
)
async def test_each_result_has_its_status_and_closes_open_steps(
    backend: Backend, store: Store, clock: Clock, status: ResultStatus, expected: RunStatus, step: str
) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    still_open = Step("open", "", "n", None, StepStatus.RUNNING, clock.now)
    done = Step("done", "", "n", "agent", StepStatus.COMPLETED, clock.now, clock.now)
    await store.record(claim, [still_open, done])
    clock.advance(2)
    assert await store.finish(claim, result(claim, status))
    counts = await store.counts()
    assert counts == {one: int(one is expected) for one in RunStatus}
    rows = {row["step_id"]: row for row in backend.rows(step_executions)}
    assert (rows["open"]["status"], rows["open"]["finished_at"]) == (step, clock.now)
    assert (rows["done"]["status"], rows["done"]["finished_at"]) == ("COMPLETED", clock.now - timedelta(seconds=2))


async def test_the_first_end_stands(store: Store) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    assert await store.finish(claim, result(claim))
    before = await store.unpublished(10)
    assert not await store.finish(claim, result(claim, ResultStatus.FAILURE))
    assert await store.unpublished(10) == before


async def test_what_is_handed_out_is_what_the_codec_writes(store: Store) -> None:
    asked = request()
    await store.accept([asked])
    claim = await claim_one(store)
    ended = result(claim, value={"text": "é\x00\U0001f600", "none": None})
    await store.finish(claim, ended)
    [out] = await store.unpublished(10)
    encoded = encode(ended)
    assert (out.topic, out.key, out.value, out.headers) == (
        asked.reply_topic,
        encoded.key,
        encoded.value,
        encoded.headers,
    )
    assert decode_result(Record(out.topic, 0, 0, out.value, out.headers, out.key)) == ended


async def test_an_oversize_result_becomes_an_error(backend: Backend) -> None:
    store = await backend.open(max_result_bytes=20_000)
    await store.accept([request()])
    claim = await claim_one(store)
    assert await store.finish(claim, result(claim, value="x" * 30_000))
    [answer] = (await replies(store)).values()
    assert (answer.status, answer.error_type, answer.retriable) == (ResultStatus.ERROR, "result_too_large", False)
    assert (await store.counts())[RunStatus.FAILED] == 1


async def test_results_are_handed_out_oldest_first_until_acknowledged(store: Store, clock: Clock) -> None:
    await store.accept([request() for _ in range(3)])
    ended = []
    for claim in reversed(await store.claim("w1", 3, ["graph"])):
        clock.advance(1)
        await store.finish(claim, result(claim))
        ended.append(claim.correlation_id)
    first = await store.unpublished(2)
    rest = await store.unpublished(10, {first[0].correlation_id})
    assert rest[0] == first[1]
    assert [out.correlation_id for out in first] == ended[:2]
    assert await store.unpublished(2) == first
    await store.published([ended[0], uuid4()])
    assert [out.correlation_id for out in await store.unpublished(10)] == ended[1:]
    await store.published([])
    await store.published(ended)
    assert await store.unpublished(10) == []


async def test_an_acknowledgement_does_not_count_for_who_asks_while_it_is_under_way(store: Store) -> None:
    asked = request()
    await store.accept([asked])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    under_way = await store.unpublished(10)
    await store.accept([asked])  # delivered again: its waiter may begin to read behind the publication under way
    assert await store.unpublished(10) == under_way
    await store.published([claim.correlation_id])
    assert await store.unpublished(10) == under_way
    await store.published([claim.correlation_id])
    assert await store.unpublished(10) == []


async def test_unacknowledged_results_survive_a_restart(backend: Backend, store: Store) -> None:
    await store.accept([request(), refusal(uuid4())])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    before = await store.unpublished(10)
    assert len(before) == 2
    await store.close()
    again = await backend.open()
    backend.forget_owners()
    assert await again.unpublished(10) == before


@pytest.mark.parametrize("backend", ["postgres", "memory"], indirect=True)  # several processes at a time
async def test_whoever_stores_a_result_publishes_it_and_others_only_after_a_while(backend: Backend) -> None:
    mine, other = await backend.open(), await backend.open()
    asked = request()
    await mine.accept([asked])
    claim = await claim_one(mine)
    await mine.finish(claim, result(claim))
    assert len(await mine.unpublished(10)) == 1
    assert await other.unpublished(10) == []
    backend.clock.advance(10)
    assert len(await other.unpublished(10)) == 1
    await other.published([claim.correlation_id])
    assert await mine.unpublished(10) == []
    await other.accept([asked])  # asked for again here: published from here
    assert await mine.unpublished(10) == []
    assert len(await other.unpublished(10)) == 1


async def test_what_waits_past_its_deadline_times_out(store: Store, clock: Clock) -> None:
    late, other = request(event(deadline=clock.now + timedelta(seconds=5))), request()
    await store.accept([late, other])
    assert await store.expire(["graph"], 60) == 0
    clock.advance(5)
    assert await store.expire(["graph"], 60) == 1
    assert await store.expire(["graph"], 60) == 0
    [answer] = (await replies(store)).values()
    assert answer.correlation_id == late.event.event_id
    assert (answer.status, answer.error_type, answer.retriable) == (ResultStatus.TIMEOUT, "deadline", True)
    assert (answer.attempts, answer.started_at) == (0, None)
    assert (await claim_one(store)).correlation_id == other.event.event_id


async def test_what_runs_past_its_deadline_is_its_owners_to_end(store: Store, clock: Clock) -> None:
    await store.accept([request(event(deadline=clock.now + timedelta(seconds=5)))])
    claim = await claim_one(store)
    clock.advance(6)
    assert await store.expire(["graph"], 60) == 0
    clock.advance(LEASE)  # and now the owner is gone
    assert await store.claim("w2", 10, ["graph"]) == []
    assert await store.expire(["graph"], 60) == 1
    assert not await store.finish(claim, result(claim))
    [answer] = (await replies(store)).values()
    assert (answer.status, answer.attempts) == (ResultStatus.TIMEOUT, 1)


async def test_a_graph_that_nobody_knows_is_an_error_after_a_grace(store: Store, clock: Clock) -> None:
    await store.accept([request(graph="typo"), request(graph="known"), request(graph="new")])
    clock.advance(59)
    assert await store.expire(["known"], 60) == 0
    clock.advance(1)
    assert await store.expire(["known", "new"], 60) == 1
    [answer] = (await replies(store)).values()
    assert (answer.status, answer.error_type, answer.retriable) == (ResultStatus.ERROR, "unknown_graph", False)
    assert "'typo'" in (answer.error or "")
    assert "Known: known, new." in (answer.error or "")
    assert await store.expire([], 60) == 2


async def test_the_grace_begins_again_when_a_run_is_given_back(store: Store, clock: Clock) -> None:
    await store.accept([request()])
    claim = await claim_one(store)
    clock.advance(LEASE - 1)
    store.renew("w1", [claim.lease])
    clock.advance(LEASE - 1)
    await store.release(claim)
    clock.advance(59)
    assert await store.expire(["other"], 60) == 0
    clock.advance(1)
    assert await store.expire(["other"], 60) == 1


async def test_an_expired_run_can_be_retried(store: Store, clock: Clock) -> None:
    await store.accept([request(event(attempt(1), deadline=clock.now))])
    assert await store.expire(["graph"], 60) == 1
    await store.accept([request(attempt(2))])
    assert (await claim_one(store)).generation == 1


async def test_counts_name_every_status(store: Store) -> None:
    assert await store.counts() == dict.fromkeys(RunStatus, 0)


async def test_large_results_are_handed_out_a_few_at_a_time(store: Store) -> None:
    await store.accept([request() for _ in range(5)])
    for claim in await store.claim("w1", 10, ["graph"]):
        await store.finish(claim, result(claim, result={"text": "x" * 900_000}))
    seen: set[UUID] = set()
    while found := await store.unpublished(2, seen):
        assert len(found) <= 2
        assert seen.isdisjoint(out.correlation_id for out in found)
        seen |= {out.correlation_id for out in found}
    assert len(seen) == 5
