"""A run that ends with questions while its task starts afresh, each in a transaction of its own at the same moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, select

from langgraph_worker.domain.models import Accepted, Claim, Decision
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.migrations.schema import interrupts
from langgraph_worker.store.sql import accept, run_writes
from langgraph_worker.store.sql.endings import EndingContext
from langgraph_worker.store.sql.questions import is_pending
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_writes import Finish
from tests.support.meeting import while_in
from tests.support.run_store import answer, apply, ask, attempt, claim_one, event, replies, request, result
from workflow_events.results import Interrupt, ResultStatus, WorkflowResultEvent

pytestmark = pytest.mark.integration

OTHER = attempt(1, task="o" * 64, at=9)
CLEARED = request(event(attempt(2, max_tries=4), thread_id="talk"))


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[list[SqlRunStore]]:
    """Two workers."""
    opened = [SqlRunStore(postgres_url) for _ in range(2)]
    for store in opened:
        await store.open()
    yield opened
    for store in opened:
        await store.close()


async def about_to_ask(store: SqlRunStore) -> tuple[Claim, WorkflowResultEvent]:
    """A run that another task's answer continues, and the questions that it ends with."""
    await ask(store, request(event(attempt(1), thread_id="talk")), "i1")
    await store.accept([request(answer(OTHER, {"i1": "yes"}))])
    claim = await claim_one(store)
    await apply(store, claim, "i1")
    return claim, result(claim, ResultStatus.INTERRUPTED, interrupts=[Interrupt(id="i2", value="?")])


def pending(store: SqlRunStore) -> list[str]:
    """The ids of the pending questions."""
    return store.database.read(
        lambda connection: list(connection.execute(select(interrupts.c.interrupt_id).where(is_pending())).scalars())
    )


def execute(connection: Connection, statements: Sequence[Statement]) -> None:
    """No checkpoint is written here."""
    assert not statements


async def test_a_run_that_ends_while_its_task_starts_afresh_asks_nothing(stores: list[SqlRunStore]) -> None:
    claim, questions = await about_to_ask(stores[0])

    def clear(connection: Connection, context: EndingContext) -> list[Accepted]:
        return accept.accept(connection, [CLEARED], context)

    [accepted], kept = await while_in(stores[0], clear, lambda: stores[1].finish(claim, questions))
    assert (accepted.decision, kept) == (Decision.FRESH, True)
    assert pending(stores[0]) == []
    reply = (await replies(stores[1]))[claim.correlation_id]
    assert reply.error_type == "interrupt_not_pending"


async def test_a_fresh_start_while_a_run_ends_with_questions_retires_them(stores: list[SqlRunStore]) -> None:
    claim, questions = await about_to_ask(stores[0])

    def finish(connection: Connection, context: EndingContext) -> list[bool]:
        return run_writes.apply(connection, [Finish(claim, questions, None)], execute, context)

    async def clear() -> Any:
        return await stores[1].accept([CLEARED])

    kept, [accepted] = await while_in(stores[0], finish, clear)
    assert (kept, accepted.decision) == ([True], Decision.FRESH)
    assert pending(stores[0]) == []
