"""Who asked for what."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from langgraph_worker.api.parts import Asker, Parts
from langgraph_worker.api.problems import ProblemError
from langgraph_worker.domain.audit import AuditRow, Outcome

router = APIRouter(tags=["fleet"])


class AuditQuery(BaseModel):
    """Which entries."""

    model_config = ConfigDict(extra="forbid")

    target: UUID | None = Field(default=None, description="only those about this run")
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    page: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        default=None, description="`next` of the page before, with the same filter"
    )


class Audited(BaseModel):
    """A client has asked for a change."""

    seq: int
    at: datetime
    actor: str = Field(description="the name of the token")
    on_behalf_of: str | None = Field(description="the person for whom the client asked")
    client: str = Field(description="the network address")
    action: str
    target: UUID = Field(description="the run that was asked for, or that was to change")
    outcome: Outcome | None = Field(description="null: not known; the message may have come")

    @classmethod
    def of(cls, row: AuditRow) -> Self:
        """An entry."""
        entry = row.entry
        return cls(
            seq=row.seq,
            at=row.at,
            actor=entry.actor,
            on_behalf_of=entry.on_behalf_of,
            client=entry.client,
            action=entry.action,
            target=entry.target,
            outcome=row.outcome,
        )


class AuditList(BaseModel):
    """Entries, the newest first."""

    entries: list[Audited]
    next: int | None = Field(description="`page` of the next request; null: there are no more")


@router.get("/audit", operation_id="list_audit")
async def list_audit(query: Annotated[AuditQuery, Query()], asker: Asker, parts: Parts) -> AuditList:
    """Who asked for what, the newest first. For tokens that may see every run."""
    if not asker.scope.is_all:
        raise ProblemError(HTTPStatus.FORBIDDEN, f"the audit is of all runs, and the token {asker.name!r} is of some")
    found = await parts.audit.rows(query.limit + 1, query.page, query.target)
    some = found[: query.limit]
    return AuditList(entries=[Audited.of(row) for row in some], next=some[-1].seq if len(found) > query.limit else None)
