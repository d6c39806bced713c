"""What several runs have spent together: rows that each worker adds to, one for itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, func, literal, or_, select, true, tuple_

from langgraph_worker.domain.accounts import MOST, Account, AccountKind, Count, StoredCounts
from langgraph_worker.domain.models import Claim
from langgraph_worker.store.migrations.schema import run_spending, shared_spending
from langgraph_worker.store.sql.spending_rows import SharedCountRow, SharedSpendingRow
from langgraph_worker.store.sql.statements import insert_or_add

KEEP = timedelta(days=7)
"""How long a row stays at least after it was last added to."""

COUNTED = ("steps", "seconds", "usage", "unreported", "marks")
"""The columns that count what a logical run has spent."""

_ADDED = ("tokens", "cost_usd", "steps", "seconds")


def add(connection: Connection, spent: Sequence[tuple[Claim, Count]], now: datetime) -> None:
    """Add what runs have spent to their accounts."""
    counts: dict[tuple[Account, str], Count] = {}
    for claim, count in spent:
        if count != Count():
            for account in Account.of(claim.event, claim.graph):
                key = (account, claim.worker_id)
                counts[key] = counts.get(key, Count()) + count
    if counts:
        # In one order, so that no two transactions of a worker wait for each other.
        rows = [_row(account, worker, counts[account, worker], now).parameters() for account, worker in sorted(counts)]
        connection.execute(insert_or_add(connection, shared_spending, _ADDED, MOST), rows)


def stored_counts(connection: Connection, claim: Claim, accounts: Collection[Account], now: datetime) -> StoredCounts:
    """What accounts have spent, and what is stored of the claim's logical run.

    One statement: a run's own count that is in one of both, and not in the other, would count twice or not at all.
    """
    table = shared_spending.c
    these = or_(*(and_(table.kind == a.kind.value, table.name == a.name, table.day == _day(a, now)) for a in accounts))
    together = (
        select(
            table.kind,
            table.name,
            *(func.sum(table[name]).label(name) for name in _ADDED),
            func.max(table.unpriced).label("unpriced"),
            func.max(table.unreported).label("unreported"),
        )
        .where(these)
        .group_by(table.kind, table.name)
        .subquery()
    )
    own = run_spending.c
    its = and_(own.lineage == claim.lineage, own.generation == claim.generation)
    mine = [own[name].label(f"own_{name}") for name in COUNTED]
    always = select(literal(1).label("one")).subquery()
    both = always.outerjoin(together, true()).outerjoin(run_spending, its)
    rows = SharedCountRow.read(connection.execute(select(*together.c, *mine).select_from(both)))
    counts = {Account(AccountKind(row.kind), row.name): row.count for row in rows if row.kind and row.name}
    return StoredCounts(rows[0].own, counts)


def forget(connection: Connection, older_than: timedelta, now: datetime) -> None:
    """Remove the accounts that were last added to longer ago than that: all rows of one, or none, since its workers may
    have other names by now.
    """
    before = now - max(older_than, KEEP)
    table = shared_spending.c
    key = (table.kind, table.name, table.day)
    in_use = select(*key).where(table.updated_at >= before)
    connection.execute(delete(shared_spending).where(table.updated_at < before, tuple_(*key).not_in(in_use)))


def _row(account: Account, worker_id: str, count: Count, now: datetime) -> SharedSpendingRow:
    return SharedSpendingRow(
        kind=account.kind.value,
        name=account.name,
        day=_day(account, now),
        worker_id=worker_id,
        tokens=count.tokens,
        cost_usd=count.cost_usd,
        steps=count.steps,
        seconds=count.seconds,
        unpriced=min(count.unpriced, default=None),
        unreported=min(count.unreported, default=None),
        updated_at=now,
    )


def _day(account: Account, now: datetime) -> str:
    return now.date().isoformat() if account.kind is AccountKind.DAY else ""
