"""The trail of what was asked for through the API."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from langgraph_worker.domain.audit import AuditEntry, AuditRow, Outcome
from langgraph_worker.store.audit import AuditTrail
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.testing.memory_store.audit_trail import MemoryAuditTrail
from tests.support.run_store import START, Clock, Store

pytestmark = pytest.mark.integration


@pytest.fixture
def audit(store: Store, clock: Clock) -> AuditTrail:
    return store.audit if isinstance(store, SqlRunStore) else MemoryAuditTrail(clock)


def entry(target: UUID | None = None, **changes: str) -> AuditEntry:
    given = {"actor": "desk", "client": "10.0.0.7", "action": "cancel_run", **changes}
    return AuditEntry(target=target or uuid4(), **given)


async def test_an_entry_is_there_before_its_outcome(audit: AuditTrail, clock: Clock) -> None:
    asked = entry(on_behalf_of="ann")
    seq = await audit.begin(asked)
    assert await audit.rows(10) == [AuditRow(seq, START, asked, None)]
    clock.advance(1)
    await audit.settle(seq, Outcome.SENT)
    assert await audit.rows(10) == [AuditRow(seq, START, asked, Outcome.SENT)]
    other = await audit.begin(entry())
    await audit.settle(other, Outcome.NOT_ACKNOWLEDGED)
    assert [row.outcome for row in await audit.rows(10)] == [Outcome.NOT_ACKNOWLEDGED, Outcome.SENT]


async def test_entries_are_found_by_their_target_and_in_pages(audit: AuditTrail) -> None:
    target = uuid4()
    numbers = [await audit.begin(entry(target if number % 2 else None)) for number in range(5)]
    assert [row.seq for row in await audit.rows(10)] == numbers[::-1]
    assert [row.seq for row in await audit.rows(2)] == [numbers[4], numbers[3]]
    assert [row.seq for row in await audit.rows(2, numbers[3])] == [numbers[2], numbers[1]]
    assert [row.seq for row in await audit.rows(10, target=target)] == [numbers[3], numbers[1]]
    assert await audit.rows(10, numbers[0]) == []


async def test_old_entries_are_removed_and_their_numbers_not_given_again(audit: AuditTrail, clock: Clock) -> None:
    old = await audit.begin(entry())
    clock.advance(100)
    new = await audit.begin(entry())
    assert await audit.remove(timedelta(seconds=101)) == 0
    assert await audit.remove(timedelta(seconds=50)) == 1
    assert [row.seq for row in await audit.rows(10)] == [new]
    assert old < new
    assert await audit.begin(entry()) > new


async def test_what_no_database_stores_is_made_storable(audit: AuditTrail) -> None:
    await audit.begin(entry(actor="a\0b\ud800", client="\0"))
    [row] = await audit.rows(1)
    assert row.entry.actor.startswith("a")
    assert "\0" not in row.entry.actor
