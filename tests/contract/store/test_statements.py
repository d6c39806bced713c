"""How many statements the writes of running runs cost: as many for ten runs as for one, and none for what is not there.

Each costs a round trip to PostgreSQL, for every superstep of every run. Nothing but a count notices one too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy import event as sqlalchemy_event

from langgraph_worker.domain.models import Claim, Step, StepStatus
from langgraph_worker.domain.spending import Spending
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_writes import Finish, PutCheckpoint, RecordSteps, RememberNodes, Write
from tests.support.run_store import Backend, Clock, attempt, request, result

RUNS = 10


async def statements_of(store: SqlRunStore, batch: Sequence[Write]) -> list[str]:
    """The first words of each statement of the transaction that writes this batch."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "clock_timestamp" not in statement:
            found.append(" ".join(statement.split()[:3]))

    sqlalchemy_event.listen(Engine, "before_cursor_execute", note)
    try:
        assert await store._commit(batch) == [True] * len(batch)
    finally:
        sqlalchemy_event.remove(Engine, "before_cursor_execute", note)
    return [one for one in found if not one.startswith("BEGIN")]


def nodes(claim: Claim, clock: Clock) -> Write:
    return RememberNodes(claim, ["a", "b"])


def checkpoint(claim: Claim, clock: Clock) -> Write:
    return PutCheckpoint(claim, [])


def steps(claim: Claim, clock: Clock) -> Write:
    return RecordSteps(claim, [Step("s1", "", "n", None, StepStatus.COMPLETED, clock.now, clock.now)])


def spending(claim: Claim, clock: Clock) -> Write:
    return RecordSteps(claim, [], Spending(steps=1))


def finish(claim: Claim, clock: Clock) -> Write:
    return Finish(claim, result(claim), None)


@pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "most"),
    [(nodes, 2), (checkpoint, 1), (steps, 2), (spending, 4), (finish, 9)],
    ids=["nodes", "checkpoint", "steps", "spending", "end"],
)
async def test_ten_runs_cost_the_statements_of_one(backend: Backend, clock: Clock, kind: Any, most: int) -> None:
    store = await backend.open()
    assert isinstance(store, SqlRunStore)
    await store.accept([request(attempt(1, at=number + 1, task=f"{number:064}")) for number in range(RUNS + 1)])
    claims = await store.claim("w", RUNS + 1, ["graph"])
    assert len(claims) == RUNS + 1
    alone = await statements_of(store, [kind(claims[0], clock)])
    together = await statements_of(store, [kind(claim, clock) for claim in claims[1:]])
    assert together == alone
    assert len(alone) <= most, alone
