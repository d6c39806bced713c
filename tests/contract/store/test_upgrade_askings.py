"""A store of the version before: what it let a left generation ask is withdrawn, and its answers are still given."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, insert

from langgraph_worker.domain.models import Claim, Decision
from langgraph_worker.store.migrations.migrate import config
from langgraph_worker.store.migrations.schema import interrupts
from langgraph_worker.store.sql.rows import QuestionRow
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import (
    LEASE,
    START,
    Clock,
    answer,
    apply,
    ask,
    attempt,
    claim_one,
    decision,
    driver_url,
    event,
    request,
    result,
)

OTHER = attempt(1, task="o" * 64, at=9)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/store.db"


def back_to_r0003(url: str, asked: Claim) -> None:
    """Make it a database of that revision, in which a run asks whose generation was left."""
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        question = QuestionRow(
            thread_id=asked.thread_id,
            interrupt_id="left",
            correlation_id=asked.correlation_id,
            lineage=asked.lineage,
            generation=asked.generation,
            logical_run=asked.logical_run,
            asked_at=START,
        )
        connection.execute(insert(interrupts).values(question.parameters()))
    with engine.connect() as connection:
        command.downgrade(config(connection), "r0003")
        connection.commit()
    engine.dispose()


async def test_what_a_left_generation_asks_is_withdrawn_and_answers_are_given(url: str, clock: Clock) -> None:
    store = SqlRunStore(url, lease_seconds=LEASE, now=clock)
    await store.open()
    asked = await ask(store, request(event(attempt(1), thread_id="talk")), "i1")
    cleared = request(event(attempt(2, max_tries=4), thread_id="talk"))
    await store.accept([cleared])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    waits = request(event(attempt(1, task="n" * 64, at=10), thread_id="talk"))
    await store.accept([waits])
    await store.close()
    back_to_r0003(url, asked)
    again = SqlRunStore(url, lease_seconds=LEASE, now=clock)
    await again.open()
    try:
        assert (await claim_one(again)).correlation_id == waits.event.event_id
        assert await decision(again, request(answer(None, {"left": 1}))) is Decision.REFUSED
    finally:
        await again.close()


async def test_an_answer_that_was_accepted_before_the_upgrade_is_given(url: str, clock: Clock) -> None:
    store = SqlRunStore(url, lease_seconds=LEASE, now=clock)
    await store.open()
    asked = await ask(store, request(attempt(1)), "i1")
    await store.accept([request(answer(OTHER, {"i1": "yes"}))])
    await store.close()
    back_to_r0003(url, asked)
    again = SqlRunStore(url, lease_seconds=LEASE, now=clock)
    await again.open()
    try:
        claim = await claim_one(again)
        assert claim.answers == {"i1": "yes"}
        await apply(again, claim, "i1")
        assert await again.finish(claim, result(claim))
    finally:
        await again.close()
