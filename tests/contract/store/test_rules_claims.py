"""Two workers that claim at the very same moment, on the database that lets them."""

from __future__ import annotations

import asyncio
from datetime import datetime

from sqlalchemy import Connection

from langgraph_worker.domain.models import Claim
from langgraph_worker.store.sql import claims
from langgraph_worker.store.sql.claims import Claimant
from langgraph_worker.store.sql.endings import EndingContext
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import request


async def test_a_claim_leaves_out_what_another_is_just_claiming(postgres_url: str) -> None:
    one, other = SqlRunStore(postgres_url), SqlRunStore(postgres_url)
    await one.open()
    await other.open()
    asked = [request(), request()]
    await one.accept(asked)
    loop = asyncio.get_running_loop()

    def work(connection: Connection, now: datetime) -> tuple[list[Claim], list[Claim]]:
        mine = claims.claim(connection, Claimant("w1", ["graph"], now), 1, EndingContext(1_000_000, "p1", now))
        # Before this transaction ends; nothing of it may be waited for.
        theirs = asyncio.run_coroutine_threadsafe(other.claim("w2", 10, ["graph"]), loop)
        return mine, theirs.result(5)

    mine, theirs = await asyncio.to_thread(one.database.write, work)
    await one.close()
    await other.close()
    claimed = [[claim.correlation_id for claim in each] for each in (mine, theirs)]
    assert claimed == [[asked[0].event.event_id], [asked[1].event.event_id]]
