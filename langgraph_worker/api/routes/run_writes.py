"""Runs: to ask for, to cancel, to go on with, to answer. Each is a message to the workers."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from langgraph_worker.api.access import Principal
from langgraph_worker.api.idempotency import ClientKey, Key
from langgraph_worker.api.parts import ApiParts, Asker, Parts, Sending, Writes
from langgraph_worker.api.problems import ProblemError, not_known, wrong_field
from langgraph_worker.domain.run_views import RunDetail
from langgraph_worker.operations.resumption import AnswerMisfitError, answer, go_on, require_resumable
from langgraph_worker.operations.sending import require_readable
from workflow_events.control import WorkflowCancelledEvent
from workflow_events.fields import FieldError, Name, Priority, Reason, UtcDatetime, utcnow
from workflow_events.models import (
    Budget,
    EventSource,
    EventType,
    RunConfig,
    WorkflowEvent,
    WorkflowEventMetadata,
)
from workflow_events.run_config import RunValues
from workflow_events.unknown_fields import unknown_fields

router = APIRouter(prefix="/runs", tags=["runs"])

_DEADLINE = timedelta(hours=24)
_MOST_ROWS = 100  # of the audit of one run
_INPUT = "input"
"""What the API calls an event's ``payload.data``."""


class NewRun(BaseModel):
    """A request to run a graph."""

    model_config = ConfigDict(extra="forbid")

    graph: Name | None = Field(default=None, description="a name in langgraph.json; left out: its default graph")
    assistant: Name | None = Field(default=None, description="one of the graph's assistants")
    input: JsonValue = Field(default={}, description="of the graph; for a state that is a mapping, its initial values")
    context: RunValues | None = Field(default=None, description="what nodes read as `runtime.context`")
    config: RunConfig = RunConfig()
    thread_id: Name | None = Field(default=None, description="a conversation; left out: a thread of the run's own")
    budget: Budget | None = None
    deadline: UtcDatetime | None = Field(default=None, description="left out: in 24 hours")
    priority: Priority = Field(default=0, description="the higher, the earlier it starts among what waits")
    workflow_id: Name = Field(default="api", description="what runs are found, counted and paused by")
    workflow_run_id: Name | None = Field(default=None, description="left out: the run's correlation id")
    metadata: WorkflowEventMetadata = WorkflowEventMetadata()


AcceptedHow = Literal["run", "retry", "continuation", "answer"]


class AcceptedRun(BaseModel):
    """A request that Kafka has. The run is in the store when a worker has taken it in."""

    correlation_id: UUID
    how: AcceptedHow = Field(description="what the request does")


class CancelBody(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(default="", description="for the person who reads the result")


_NO_REASON = CancelBody()


class SentCancel(BaseModel):
    """A cancel that Kafka has."""

    correlation_id: UUID
    status: str = Field(description="of the run, as the cancel found it; `unknown`: its request has not come yet")


class GivenAnswer(BaseModel):
    """An answer to a question."""

    model_config = ConfigDict(extra="forbid")

    interrupt_id: Name | None = Field(default=None, description="of the question; may be left out if there is one")
    value: JsonValue = Field(description="what the graph's `interrupt()` returns")


class AnswerBody(BaseModel):
    """The answers to what a run asks."""

    model_config = ConfigDict(extra="forbid")

    answers: list[GivenAnswer] = Field(min_length=1, max_length=256)


@router.post("", operation_id="create_run", status_code=HTTPStatus.ACCEPTED)
async def create_run(
    new: NewRun, request: Request, response: Response, asker: Asker, key: Key, sending: Sending
) -> AcceptedRun:
    """Ask for a run. Answered when Kafka has the request, also while no worker is up."""
    if unknown := unknown_fields(NewRun, await request.json()):
        raise wrong_field(f"body.{unknown[0].place}", not_known(unknown[0].meant))
    _require_scope(asker, new.graph)
    event = _event(new, key.key or uuid4())
    require_readable(event, sending.parts.settings)
    await key.keep(new, event.event_id)
    return await _accepted(event, "run", sending, response)


async def _accepted(event: WorkflowEvent, how: AcceptedHow, sending: Writes, response: Response) -> AcceptedRun:
    await sending.request(event)
    return _answer(event.event_id, how, response)


def _answer(correlation_id: UUID, how: AcceptedHow, response: Response) -> AcceptedRun:
    response.headers["Location"] = f"/api/v1/runs/{correlation_id}"
    return AcceptedRun(correlation_id=correlation_id, how=how)


def _require_scope(asker: Principal, graph: str | None) -> None:
    if graph is None and asker.scope.graphs is not None:
        known = ", ".join(sorted(asker.scope.graphs))
        raise wrong_field("body.graph", f"must be given: the token {asker.name!r} may run only {known}")
    if not asker.scope.includes(graph, ""):
        what = f"the graph {graph!r}" if not asker.scope.includes_graph(graph) else "requests of no Airflow task"
        raise ProblemError(HTTPStatus.FORBIDDEN, f"the token {asker.name!r} may not run {what}")


def _event(new: NewRun, name: UUID) -> WorkflowEvent:
    now = utcnow()
    if new.deadline is not None and new.deadline <= now:
        raise wrong_field("body.deadline", "has passed; give a time to come, or leave it out for 24 hours")
    try:
        return WorkflowEvent(
            event_id=name,
            event_type=EventType.WORKFLOW_TRIGGERED,
            timestamp=now,
            source=EventSource.FASTAPI,
            workflow_id=new.workflow_id,
            workflow_run_id=new.workflow_run_id or str(name),
            payload={"data": new.input},
            deadline=new.deadline or now + _DEADLINE,
            **{field: getattr(new, field) for field in _COPIED},
        )
    except ValidationError as error:
        raise _misfit(error) from None


_COPIED = ("graph", "assistant", "context", "config", "thread_id", "budget", "priority", "metadata")


def _misfit(error: ValidationError, within: str = "") -> ProblemError:
    """:param within: the field of the body in which the places of the error are."""
    detail = error.errors(include_url=False, include_input=False)[0]
    rule = detail.get("ctx", {}).get("error")
    place = rule.field if isinstance(rule, FieldError) else ".".join(map(str, detail["loc"]))
    reason = rule.reason if isinstance(rule, FieldError) else detail["msg"].removeprefix("Value error, ")
    if within and not place.startswith(within):
        place = within  # of one of several; it does not say of which
    return wrong_field(f"body.{place.replace('payload.data', _INPUT)}", reason)


@router.post("/{correlation_id}/cancel", operation_id="cancel_run", status_code=HTTPStatus.ACCEPTED)
async def cancel_run(
    correlation_id: UUID, asker: Asker, parts: Parts, sending: Sending, body: CancelBody = _NO_REASON
) -> SentCancel:
    """End a run, whether it waits, runs or asks a person; also one whose request has not been taken in yet."""
    status = await _cancellable(correlation_id, asker, parts)
    message = WorkflowCancelledEvent(correlation_id=correlation_id, reason=body.reason, requested_by=asker.name)
    await sending.cancel(message)
    return SentCancel(correlation_id=correlation_id, status=status)


async def _cancellable(correlation_id: UUID, asker: Principal, parts: ApiParts) -> str:
    # First whether it may be this client's: of what is not, nothing is read outside of its scope.
    if await _may_have_asked(correlation_id, asker, parts) and await parts.views.detail(correlation_id, 0) is None:
        return "unknown"
    detail = await parts.run(correlation_id, asker)
    asks = any(question.asked_by == correlation_id for question in detail.pending_questions)
    if detail.run.status.is_finished and not asks:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"run {correlation_id} has ended ({detail.run.status.value}): there is nothing to cancel",
        )
    return detail.run.status.value


async def _may_have_asked(correlation_id: UUID, asker: Principal, parts: ApiParts) -> bool:
    """Whether a request that is still to come may be this client's."""
    if asker.scope.is_all:
        return True
    return any(row.entry.actor == asker.name for row in await parts.audit.rows(_MOST_ROWS, target=correlation_id))


@router.post("/{correlation_id}/retry", operation_id="retry_run", status_code=HTTPStatus.ACCEPTED)
async def retry_run(
    correlation_id: UUID, response: Response, asker: Asker, key: Key, parts: Parts, sending: Sending
) -> AcceptedRun:
    """Go on with a run that has failed, from its last checkpoint. Of an Airflow task, any try of Airflow's wins."""
    detail = await _whole_work(correlation_id, asker, parts)
    if earlier := await _taken_in(key, None, parts):
        return _answer(earlier, "retry" if detail.run.try_number is not None else "continuation", response)
    require_resumable(await parts.shown(detail))
    resumption = await go_on(parts.views, detail, _until(), EventSource.FASTAPI)
    kept = await key.keep(None, resumption.event.event_id)
    if kept != resumption.event.event_id:
        text = (
            f"run {correlation_id} was retried otherwise meanwhile. Look at its attempts; a new retry needs a new key"
        )
        raise ProblemError(HTTPStatus.CONFLICT, text)
    return await _accepted(resumption.event, resumption.how, sending, response)


@router.post("/{correlation_id}/answer", operation_id="answer_run", status_code=HTTPStatus.ACCEPTED)
async def answer_run(
    correlation_id: UUID,
    body: AnswerBody,
    response: Response,
    asker: Asker,
    key: Key,
    parts: Parts,
    sending: Sending,
) -> AcceptedRun:
    """Answer what a run asks. The run of the answer is a new request."""
    detail = await _whole_work(correlation_id, asker, parts)
    if earlier := await _taken_in(key, body, parts):
        return _answer(earlier, "answer", response)
    given: list[tuple[str | None, Any]] = [(one.interrupt_id, one.value) for one in body.answers]
    try:
        shown = await parts.shown(detail)
        resumption = answer(shown, given, asker.name, _until(), EventSource.FASTAPI, key.key)
    except AnswerMisfitError as error:
        raise wrong_field(f"body.answers.{error.number}.interrupt_id", str(error)) from None
    except ValidationError as error:
        raise _misfit(error, "answers") from None
    require_readable(resumption.event, parts.settings)
    await key.keep(body, resumption.event.event_id)
    return await _accepted(resumption.event, resumption.how, sending, response)


async def _taken_in(key: ClientKey, body: BaseModel | None, parts: ApiParts) -> UUID | None:
    """The request that this key has asked for before, if workers have it. If not, it may never have come."""
    earlier = await key.earlier(body)
    return earlier if earlier is not None and await parts.views.detail(earlier, 0) is not None else None


async def _whole_work(correlation_id: UUID, asker: Principal, parts: ApiParts) -> RunDetail:
    """A run of whose work this client may see all requests: what goes on with one goes on with all."""
    detail = await parts.run(correlation_id, asker)
    if not all(asker.scope.includes(one.graph, one.deployment) for one in detail.requests):
        text = f"run {correlation_id} belongs to work of which the token {asker.name!r} may not see every request"
        raise ProblemError(HTTPStatus.FORBIDDEN, text)
    return detail


def _until() -> datetime:
    return utcnow() + _DEADLINE
