"""What people and other programs read of the run store, beside running workers. Nothing here writes."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from langgraph_worker.domain.run_views import (
    EVERY_RUN,
    MOST_SHOWN,
    PageKey,
    RunDetail,
    RunFilter,
    RunPage,
    RunScope,
    StepKey,
    StepPage,
)


class RunViews(Protocol):
    """The read side of a run store. Every backend passes ``tests/contract/store/test_run_views.py``.

    Every method is one transaction, and may raise :exc:`~langgraph_worker.errors.StoreError`.
    """

    async def find(self, wanted: RunFilter, limit: int, after: PageKey | None = None) -> RunPage:
        """Runs that fit, the newest first: up to ``limit``.

        :param after: the ``next`` of the page before; None: from the newest on. A run that is accepted meanwhile
            changes no later page.
        """

    async def ids_beginning_with(self, prefix: str, limit: int) -> list[UUID]:
        """The correlation ids of runs that begin with these characters, in their order: up to ``limit``.

        :param prefix: of a UUID's text, with its hyphens or without them; upper case is the same as lower case.
        :raises ValueError: no UUID begins so.
        """

    async def detail(
        self, correlation_id: UUID, most_steps: int = MOST_SHOWN, scope: RunScope = EVERY_RUN
    ) -> RunDetail | None:
        """One run with all that is kept of it; None if the store does not have it: it was pruned, or never accepted.

        :param most_steps: how many of its steps, the newest ones; 0: none, which are not read then.
        :param scope: of a run outside of it nothing is read, as if the store did not have it.
        """

    async def steps(self, correlation_id: UUID, limit: int, after: StepKey | None = None) -> StepPage:
        """Steps of a run in the order of their starts: up to ``limit``. Of a run that is not there: none.

        :param after: the ``next`` of the page before, or any step's key; None: from the first one on.
        """
