"""What a run's accounts spend, compared with what they may: all runs of its DAG run, all of its graph today."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from langgraph_worker.domain.accounts import Account, StoredCounts
from langgraph_worker.domain.budgets import Limits
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.results import storable
from langgraph_worker.domain.spending import Spending
from langgraph_worker.errors import StoreError
from langgraph_worker.execution.waiting_calls import Wait, retry_store_in_wait
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store

_WHAT = "read what several runs have spent"


class SharedBudget:
    """Compares for one start of a run. Safe in every thread.

    What other runs have spent counts from the moment at which it is stored; what this run has spent, at once.

    :param limits: of the accounts that have any.
    """

    def __init__(self, store: RunStore, claim: Claim, limits: Mapping[Account, Limits]) -> None:
        self.limits = limits
        self._store = store
        self._claim = claim
        self._counts = StoredCounts()
        self.trouble: StoreError | None = None
        """Why a call could not be compared; a node may have caught it (rule 19)."""

    async def look(self) -> None:
        """Read what the accounts have spent by now.

        :raises StoreError: an error that does not pass by itself.
        """
        self._counts = await retry_store(
            lambda: asyncio.wrap_future(self._store.stored_counts(self._claim, tuple(self.limits))), _WHAT
        )

    def used_up(self, own: Spending) -> Wait[str | None]:
        """Why no model may be called any more; None if one may. It waits until the store has answered.

        :param own: what the logical run has spent by now.
        :raises StoreError: an error that does not pass by itself.
        """
        try:
            self._counts = yield from retry_store_in_wait(
                lambda: self._store.stored_counts(self._claim, tuple(self.limits)), _WHAT
            )
        except StoreError as error:
            self.trouble = error
            raise
        own = storable(own)
        found = (limits.used_up(self._counts.count(account, own)) for account, limits in self.limits.items())
        return next((reason for reason in found if reason is not None), None)

    def exceeded(self, own: Spending) -> str | None:
        """Why no further superstep may begin, by what was read last; None if one may."""
        own = storable(own)
        found = (limits.exceeded(self._counts.count(account, own)) for account, limits in self.limits.items())
        return next((reason for reason in found if reason is not None), None)
