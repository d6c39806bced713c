"""What tests of the run store's control share: cancels, and what their requests are told."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from langgraph_worker.store.port import Cancel, Cancelled, Decision
from tests.support.run_store import Store, attempt, replies, request
from workflow_events.models import Attempt, WorkflowEvent
from workflow_events.results import ResultStatus

DAY = timedelta(days=1)
OTHER = attempt(1, task="o" * 64, at=9)


async def cancel(store: Store, *ids: UUID, reason: str = "too dear", by: str | None = "ann") -> list[Cancelled]:
    """What becomes of cancels, in their order."""
    became = await store.cancel([Cancel(of, reason, by) for of in ids], DAY)
    return [became[of] for of in ids]


async def is_cancelled(store: Store, of: UUID, error: str = "cancelled by ann: too dear") -> None:
    """A request was told so."""
    told = (await replies(store))[of]
    assert (told.status, told.error_type, told.retriable) == (ResultStatus.CANCELLED, "cancelled", False)
    assert told.error == error


async def is_superseded(store: Store, of: UUID) -> None:
    """A request was told so."""
    told = (await replies(store))[of]
    assert (told.status, told.error_type, told.retriable) == (ResultStatus.CANCELLED, "superseded", True)


async def take(store: Store, *asked: WorkflowEvent | Attempt | None) -> list[Decision]:
    """Accept a batch; what each is."""
    accepted = await store.accept([request(one) for one in asked])
    assert all(one.detail for one in accepted)
    return [one.decision for one in accepted]
