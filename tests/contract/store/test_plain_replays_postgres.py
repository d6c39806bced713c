"""Two replays of one plain request, accepted by two workers at the same moment: no row of a task keeps them apart."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection

from langgraph_worker.domain.models import Accepted, Decision
from langgraph_worker.store.sql import accept
from langgraph_worker.store.sql.endings import EndingContext
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.meeting import while_in
from tests.support.run_store import claim_one, event, replies, request, result
from workflow_events.identity import replay_id
from workflow_events.models import Replay
from workflow_events.results import ResultStatus

pytestmark = pytest.mark.integration


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[list[SqlRunStore]]:
    """Two workers."""
    opened = [SqlRunStore(postgres_url) for _ in range(2)]
    for store in opened:
        await store.open()
    yield opened
    for store in opened:
        await store.close()


async def test_of_two_replays_that_are_accepted_at_once_one_runs(stores: list[SqlRunStore]) -> None:
    origin = event()
    await stores[0].accept([request(origin)])
    claim = await claim_one(stores[0])
    await stores[0].finish(claim, result(claim, ResultStatus.FAILURE))
    first, second = (
        request(event(event_id=replay_id(origin.event_id, n), replay=Replay(of=origin.event_id, number=n)))
        for n in (1, 2)
    )

    def accept_first(connection: Connection, context: EndingContext) -> list[Accepted]:
        return accept.accept(connection, [first], context)

    [one], [other] = await while_in(stores[0], accept_first, lambda: stores[1].accept([second]))
    assert (one.decision, other.decision) == (Decision.RESUMED, Decision.RESUMED)
    assert (await claim_one(stores[0])).correlation_id == second.event.event_id
    ended = {**await replies(stores[0]), **await replies(stores[1])}[first.event.event_id]
    assert (ended.status, ended.error_type) == (ResultStatus.CANCELLED, "superseded")
