"""What is asked of the workers to resume a run: the event that goes on with it, or that answers its question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from pydantic import JsonValue

from langgraph_worker.domain.run_views import QuestionState, RunDetail, ViewStatus
from langgraph_worker.errors import WorkerError
from langgraph_worker.operations.store_access import event_of
from langgraph_worker.publishing.replay import number_of
from langgraph_worker.store.views import RunViews
from workflow_events.identity import lineage_of, replay_id
from workflow_events.log_words import in_utc
from workflow_events.models import Answer, EventSource, EventType, Replay, WorkflowEvent

How = Literal["retry", "continuation", "answer"]


class NotResumableError(WorkerError):
    """There is nothing to go on with, or something else has to be done first."""


class AsksFirstError(NotResumableError):
    """The run waits for a person: it goes on with an answer, and without one not at all."""


class AnswerMisfitError(WorkerError):
    """An answer names no question of several, or one that is not asked.

    :ivar number: of the answer, from 0.
    """

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


@dataclass(frozen=True, slots=True)
class Resumption:
    """An event to be published.

    :param resumes: the request that it goes on with, or whose question it answers.
    :param how: of a task's request it is a retry, below any that Airflow makes; of a plain one a continuation.
    """

    event: WorkflowEvent
    resumes: UUID
    how: How


async def go_on(views: RunViews, detail: RunDetail, deadline: datetime, source: EventSource) -> Resumption:
    """The event that goes on with a run from the last checkpoint of its logical run.

    :param source: what sends it.

    :raises NotResumableError: says why there is none, and what to do instead.
    """
    require_resumable(detail)
    of_work = await _same_work(views, detail)
    first = of_work[0]
    of = first.replay.of if first.replay is not None else first.event_id
    number = max(map(number_of, of_work)) + 1
    replay = Replay(of=of, number=number)
    again: dict[str, Any] = {"event_id": replay_id(of, number), "source": source, "replay": replay}
    if not first.answers:  # an answer goes to the graph that asked
        again["graph"] = detail.run.graph  # by its name: the workers' default may be another one by now
    if first.attempt is not None:
        again["attempt"] = first.attempt.model_copy(update={"replay": number, "on_retry": "resume"})
    how: How = "retry" if first.attempt is not None else "continuation"
    return Resumption(_sent_anew(first, deadline, again), of, how)


def answer(
    detail: RunDetail,
    given: Sequence[tuple[str | None, Any]],
    by: str | None,
    deadline: datetime,
    source: EventSource,
    event_id: UUID | None = None,
) -> Resumption:
    """The event that answers what a run asks.

    :param given: each answer with the id of its question; None where there is only one question.
    :param event_id: of the event; None: a new one.
    :raises NotResumableError: the run asks nothing now; says what is asked instead.
    :raises AnswerMisfitError: an answer names no question of several, or another one than is asked.
    :raises ValidationError: an answer cannot be sent.
    """
    run = detail.run
    asked = [question for question in detail.pending_questions if question.asked_by == run.correlation_id]
    if not asked:
        raise NotResumableError(_asks_nothing(detail))
    known = ", ".join(question.interrupt_id for question in asked)
    answers = []
    for number, (name, value) in enumerate(given):
        if name is None and len(asked) > 1:
            raise AnswerMisfitError(number, f"there are {len(asked)} questions. Say which each answers ({known})")
        if name is not None and name not in {question.interrupt_id for question in asked}:
            raise AnswerMisfitError(number, f"request {run.correlation_id} does not ask {name!r}, but {known}")
        answers.append(Answer(interrupt_id=name or asked[0].interrupt_id, value=value, answered_by=by))
    reply_topic = detail.event.get("reply_topic") if detail.event is not None else None
    event = WorkflowEvent(
        event_id=event_id or uuid4(),
        event_type=EventType.WORKFLOW_RESUMED,
        source=source,
        workflow_id=run.workflow_id,
        workflow_run_id=run.workflow_run_id,
        round=run.round + 1,
        answers=answers,
        answers_to=run.correlation_id,
        reply_topic=reply_topic if isinstance(reply_topic, str) else None,
        deadline=deadline,
    )
    return Resumption(event, run.correlation_id, "answer")


def _sent_anew(first: WorkflowEvent, deadline: datetime, changes: dict[str, Any]) -> WorkflowEvent:
    values = {"timestamp": datetime.now(deadline.tzinfo), "deadline": deadline}
    changed = first.model_copy(update=values | changes)
    return WorkflowEvent.model_validate(changed.model_dump())


def require_resumable(detail: RunDetail) -> None:
    """Check whether a run can go on.

    :raises NotResumableError: says why not, and what to do instead; it quotes questions and errors of the run.
    """
    run = detail.run
    if detail.lineage is None or not detail.requests:
        why = detail.result.error if detail.result is not None else None
        raise NotResumableError(f"request {run.correlation_id} never ran: {why or run.status.value}. Send it anew")
    if detail.pending_questions:
        raise AsksFirstError(f"request {run.correlation_id} waits for a person: {_asked_now(detail)}")
    last = detail.requests[-1]
    unfinished = [one for one in detail.requests if not one.status.is_finished]
    if unfinished:
        one = unfinished[0]
        raise NotResumableError(
            f"request {one.correlation_id} of the same work is {one.status.value}: wait for it, or cancel it first"
        )
    if last.status is ViewStatus.SUCCESS:
        raise NotResumableError(
            f"the work has succeeded with request {last.correlation_id}: there is nothing to go on with. To run it "
            "again, clear the task in Airflow, or send the event anew"
        )


async def _same_work(views: RunViews, detail: RunDetail) -> list[WorkflowEvent]:
    """The requests that asked for the run's work, the first one first: those of the newest attempt of its task; of a
    plain request it, and the plain ones that went on with it or answered it.
    """
    events = [event for one in detail.requests if (event := await _event(views, one.correlation_id)) is not None]
    own = event_of(detail, NotResumableError)
    key = lineage_of(own) if own is not None and own.attempt is not None else detail.lineage
    first = next((event for event in reversed(events) if lineage_of(event) == key), None)
    if first is None:
        raise NotResumableError(f"the first request of {detail.run.correlation_id} was pruned. Send the event anew")
    if first.attempt is None:
        return [first, *(event for event in events if event.attempt is None and event != first)]
    attempt_id = first.attempt.id
    own_events = [event for event in events if lineage_of(event) == key]
    return [event for event in own_events if event.attempt is not None and event.attempt.id == attempt_id]


async def _event(views: RunViews, name: UUID) -> WorkflowEvent | None:
    detail = await views.detail(name)
    return event_of(detail, NotResumableError) if detail is not None else None


def _asks_nothing(detail: RunDetail) -> str:
    run = detail.run
    own = [question for question in detail.questions if question.asked_by == run.correlation_id]
    text = f"request {run.correlation_id} asks nothing"
    if own and own[-1].state is QuestionState.ANSWERED and own[-1].answered_at is not None:
        by = f" by {own[-1].answered_by}" if own[-1].answered_by else ""
        text = f"request {run.correlation_id}: its question was answered{by} at {in_utc(own[-1].answered_at)}"
    elif own:
        text = f"request {run.correlation_id}: its question is no longer asked"
    return f"{text}. Asked is now: {_asked_now(detail)}" if detail.pending_questions else text


def _asked_now(detail: RunDetail) -> str:
    asked = detail.pending_questions
    return "; ".join(f"{one.interrupt_id} (request {one.asked_by}): {_short(one.value)}" for one in asked)


def _short(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
