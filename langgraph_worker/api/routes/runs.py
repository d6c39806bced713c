"""Runs: to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from langgraph_worker.api.parts import Asker, Parts
from langgraph_worker.api.problems import wrong_field
from langgraph_worker.api.responses import whole
from langgraph_worker.api.run_models import AttemptList, ErrorList, Run, RunDetails, RunError, RunList, StepList
from langgraph_worker.domain.run_views import PageKey, RunFilter, StepKey, ViewStatus
from langgraph_worker.operations.redacted_detail import redacted_detail, redacted_steps
from workflow_events.fields import Name, UtcDatetime
from workflow_events.results import WorkflowResultEvent

router = APIRouter(prefix="/runs", tags=["runs"])

_Limit = Annotated[int, Field(ge=1, le=1_000, description="how many, at most")]


class RunQuery(BaseModel):
    """Which runs: those that fit all that is given."""

    model_config = ConfigDict(extra="forbid")

    status: list[ViewStatus] = Field(default=[], description="any of them; left out: all")
    graph: Name | None = None
    workflow_id: Name | None = Field(default=None, description="the DAG")
    workflow_run_id: Name | None = Field(default=None, description="the DAG run")
    thread: Name | None = Field(default=None, description="LangGraph's thread_id, or the conversation's name")
    error_type: Name | None = None
    since: UtcDatetime | None = Field(default=None, description="accepted at this time or later")
    before: UtcDatetime | None = Field(default=None, description="accepted before this time")
    limit: _Limit = 50
    order_by: Literal["-accepted_at"] = Field(default="-accepted_at", description="the newest first")
    page: str | None = Field(default=None, description="`next` of the page before, with the same filters")


@router.get("", operation_id="list_runs")
async def list_runs(query: Annotated[RunQuery, Query()], asker: Asker, parts: Parts) -> RunList:
    """Runs, the newest first. A run that is accepted meanwhile changes no later page."""
    wanted = RunFilter(
        statuses=frozenset(query.status),
        scope=asker.scope,
        **{name: getattr(query, name) for name in _FILTERS},
    )
    return RunList.of(await parts.views.find(wanted, query.limit, _parsed(query.page, PageKey.parse)))


_FILTERS = ("graph", "workflow_id", "workflow_run_id", "thread", "error_type", "since", "before")


_Key = TypeVar("_Key")


def _parsed(given: str | None, parse: Callable[[str], _Key]) -> _Key | None:
    try:
        return None if given is None else parse(given)
    except (ValueError, OverflowError):
        text = f"{given!r} is the `next` of no page; leave it out for the first page"
        raise wrong_field("query.page", text) from None


@router.get("/{correlation_id}", operation_id="get_run", response_model=RunDetails)
async def get_run(correlation_id: UUID, asker: Asker, parts: Parts) -> Any:
    """One run: what was asked and answered, what it waits for, what it has spent."""
    detail = await parts.run(correlation_id, asker)
    return await whole(lambda: RunDetails.of_detail(redacted_detail(detail, parts.redactor)))


@router.get("/{correlation_id}/result", operation_id="get_run_result")
async def get_run_result(correlation_id: UUID, asker: Asker, parts: Parts) -> WorkflowResultEvent | None:
    """The result, as it is in Kafka; null while the run is unfinished."""
    detail = await parts.run(correlation_id, asker)
    return (await parts.shown(replace(detail, event=None, errors=(), questions=()))).result


class StepQuery(BaseModel):
    """Which steps."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100, description="how many, at most: each may have 131 kB")] = 50
    page: str | None = Field(default=None, description="`next` of the page before")


@router.get("/{correlation_id}/steps", operation_id="list_run_steps", response_model=StepList)
async def list_run_steps(correlation_id: UUID, query: Annotated[StepQuery, Query()], asker: Asker, parts: Parts) -> Any:
    """The executions of its nodes, in the order of their starts."""
    await parts.run(correlation_id, asker)
    page = await parts.views.steps(correlation_id, query.limit, _parsed(query.page, StepKey.parse))
    return await whole(lambda: StepList.of(redacted_steps(page, parts.redactor)))


@router.get("/{correlation_id}/errors", operation_id="list_run_errors")
async def list_run_errors(correlation_id: UUID, asker: Asker, parts: Parts) -> ErrorList:
    """The errors of its starts: the newest 500."""
    detail = await parts.run(correlation_id, asker)
    detail = await parts.shown(replace(detail, event=None, result=None, questions=()))
    return ErrorList(errors=[RunError.of(one) for one in detail.errors])


@router.get("/{correlation_id}/attempts", operation_id="list_run_attempts")
async def list_run_attempts(correlation_id: UUID, asker: Asker, parts: Parts) -> AttemptList:
    """The requests for the same work: tries, answers, replays and itself; the newest 500."""
    detail = await parts.run(correlation_id, asker)
    seen = [one for one in detail.requests if asker.scope.includes(one.graph, one.deployment)]
    return AttemptList(attempts=[Run.of(one) for one in seen])
