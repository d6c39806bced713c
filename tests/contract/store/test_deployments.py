"""Several deployments of Airflow in one fleet: who may answer whose questions, and who comes next."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, update

from langgraph_worker.domain.models import Decision
from langgraph_worker.store.migrations.schema import workflow_runs
from tests.support.run_store import (
    Backend,
    Store,
    answer,
    ask,
    attempt,
    claim_one,
    decision,
    driver_url,
    event,
    interrupt,
    replies,
    request,
)
from workflow_events.models import Attempt


def of(deployment: str, task: str = "o", at: int = 9) -> Attempt:
    """An attempt of a task of a deployment."""
    return attempt(1, task=task * 64, at=at, deployment=deployment)


async def test_another_deployment_cannot_answer(store: Store) -> None:
    asked = await ask(store, request(attempt(1)), "i1")
    foreign = request(answer(of("there"), {"i1": "yes"}))
    assert await decision(store, foreign) is Decision.REFUSED
    back = (await replies(store))[foreign.event.event_id]
    assert (back.error_type, back.retriable) == ("interrupt_not_pending", False)
    assert "field 'attempt.deployment': interrupt 'i1'" in (back.error or "")
    assert await decision(store, request(answer(of("here", "p", 10), {"i1": "yes"}))) is Decision.ANSWER
    assert (await claim_one(store)).thread_id == asked.thread_id


async def test_a_person_answers_every_deployment_and_the_next_question_stays_its_own(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    await store.accept([request(answer(None, {"i1": "yes"}))])
    answering = await claim_one(store)
    assert answering.deployment == "here"
    await interrupt(store, answering, "i2")
    assert await decision(store, request(answer(of("there"), {"i2": "yes"}))) is Decision.REFUSED
    assert await decision(store, request(answer(of("here"), {"i2": "yes"}, round=2))) is Decision.ANSWER


async def test_what_a_plain_request_asks_every_deployment_may_answer(store: Store) -> None:
    await ask(store, request(event()), "i1")
    await store.accept([request(answer(of("there"), {"i1": "yes"}))])
    await interrupt(store, await claim_one(store), "i2")
    assert await decision(store, request(answer(of("here", "p", 10), {"i2": "yes"}))) is Decision.ANSWER


async def test_an_id_that_another_deployment_asks_too_is_still_clear(store: Store) -> None:
    here = await ask(store, request(attempt(1)), "i1")
    await ask(store, request(of("there")), "i1")
    assert await decision(store, request(answer(of("here", "p", 10), {"i1": "yes"}))) is Decision.ANSWER
    assert (await claim_one(store)).thread_id == here.thread_id


@pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)
async def test_the_deployment_of_what_the_version_before_accepted_is_not_known(backend: Backend, store: Store) -> None:
    """Its questions can be answered as before."""
    await ask(store, request(attempt(1)), "i1")
    engine = create_engine(driver_url(backend.url))
    with engine.begin() as connection:
        connection.execute(update(workflow_runs).values(deployment=None))
    engine.dispose()
    assert await decision(store, request(answer(of("there"), {"i1": "yes"}))) is Decision.ANSWER


async def test_deployments_take_turns_before_workflows(store: Store) -> None:
    flood = [request(event(of("there", f"{n}", 20 + n), workflow_id=f"dag{n}")) for n in range(8)]
    few = [request(event(of("here", task, at), workflow_id="mine")) for at, task in enumerate("ab", 40)]
    plain = [request(event(workflow_id=f"plain{n}")) for n in range(2)]
    await store.accept([*flood, *few, *plain])
    first = await store.claim("w1", 4, ["graph"])
    asked = [flood[0], flood[1], few[0], plain[0]]
    assert {claim.correlation_id for claim in first} == {one.event.event_id for one in asked}
    second = await store.claim("w2", 3, ["graph"])
    asked = [flood[2], few[1], plain[1]]
    assert {claim.correlation_id for claim in second} == {one.event.event_id for one in asked}


async def test_the_backlog_of_a_deployment_has_the_answers_to_it(store: Store) -> None:
    await ask(store, request(attempt(1)), "i1")
    await store.accept([request(answer(None, {"i1": "yes"})), request(of("there")), request()])
    found = {place: (one.requests, one.answers) for place, one in (await store.backlog()).items()}
    assert found == {("graph", "here"): (0, 1), ("graph", "there"): (1, 0), ("graph", ""): (1, 0)}
