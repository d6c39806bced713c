"""What tests of the run store's control share: cancels, and the answers to their requests."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from langgraph_worker.domain.models import Cancel, Cancelled, Decision
from tests.support.run_store import Store, attempt, replies, request
from workflow_events.models import Attempt, WorkflowEvent
from workflow_events.results import ResultStatus

DAY = timedelta(days=1)
OTHER = attempt(1, task="o" * 64, at=9)


async def cancel(store: Store, *ids: UUID, reason: str = "too dear", by: str | None = "ann") -> list[Cancelled]:
    """What becomes of cancels, in their order."""
    effects = await store.cancel([Cancel(request_id, reason, by) for request_id in ids], DAY)
    return [effects[request_id] for request_id in ids]


async def is_cancelled(store: Store, request_id: UUID, error: str = "cancelled by ann: too dear") -> None:
    """A request was answered so."""
    reply = (await replies(store))[request_id]
    assert (reply.status, reply.error_type, reply.retriable) == (ResultStatus.CANCELLED, "cancelled", False)
    assert reply.error == error


async def is_superseded(store: Store, request_id: UUID) -> None:
    """A request was answered so."""
    reply = (await replies(store))[request_id]
    assert (reply.status, reply.error_type, reply.retriable) == (ResultStatus.CANCELLED, "superseded", True)


async def take(store: Store, *asked: WorkflowEvent | Attempt | None) -> list[Decision]:
    """Accept a batch; what each is."""
    accepted = await store.accept([request(one) for one in asked])
    assert all(one.detail for one in accepted)
    return [one.decision for one in accepted]
