"""What several runs have spent together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from langgraph_worker.domain.accounts import Account, AccountKind, Count, StoredCounts
from langgraph_worker.domain.models import Claim
from langgraph_worker.testing.memory_store.state import SharedKey, Transaction

KEEP = timedelta(days=7)  # after it was last added to


def add(tx: Transaction, claim: Claim, count: Count) -> None:
    """Add what a run has spent to its accounts."""
    if count == Count():
        return
    for account in Account.of(claim.event, claim.graph):
        key = SharedKey(account, _day(account, tx.now), claim.worker_id)
        before, _ = tx.state.shared_spending.get(key, (Count(), tx.now))
        unpriced = frozenset(sorted(count.unpriced)[:1]) or before.unpriced
        unreported = frozenset(sorted(count.unreported)[:1]) or before.unreported
        total = replace(before + count, unpriced=unpriced, unreported=unreported)
        tx.state.shared_spending[key] = (total, tx.now)


def stored_counts(tx: Transaction, claim: Claim, accounts: Collection[Account]) -> StoredCounts:
    """See :meth:`~langgraph_worker.store.port.RunStore.stored_counts`."""
    together: dict[Account, Count] = {}
    for key, (count, _) in tx.state.shared_spending.items():
        if key.account in accounts and key.day == _day(key.account, tx.now):
            together[key.account] = together.get(key.account, Count()) + count
    last = {
        account: replace(
            count, unpriced=frozenset(sorted(count.unpriced)[-1:]), unreported=frozenset(sorted(count.unreported)[-1:])
        )
        for account, count in together.items()
    }
    return StoredCounts(tx.state.spending.get((claim.lineage, claim.generation)), last)


def forget(tx: Transaction, older_than: timedelta) -> None:
    """Remove the accounts that were last added to longer ago than that."""
    before, rows = tx.now - max(older_than, KEEP), tx.state.shared_spending
    in_use = {(key.account, key.day) for key, (_, at) in rows.items() if at >= before}
    tx.state.shared_spending = {key: row for key, row in rows.items() if (key.account, key.day) in in_use}


def _day(account: Account, now: datetime) -> str:
    return now.date().isoformat() if account.kind is AccountKind.DAY else ""
