"""The read side of the store in memory."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from langgraph_worker.domain.id_prefixes import ids_between
from langgraph_worker.domain.models import RunStatus
from langgraph_worker.domain.pauses import holding
from langgraph_worker.domain.run_views import (
    EVERY_RUN,
    MOST_SHOWN,
    ErrorView,
    PageKey,
    QuestionState,
    QuestionView,
    RunDetail,
    RunFilter,
    RunPage,
    RunScope,
    RunSummary,
    StepKey,
    StepPage,
    StepView,
    ViewStatus,
    WaitsFor,
    asker_of_unplaced,
)
from langgraph_worker.store.views import RunViews
from langgraph_worker.testing.memory_store.state import Question, Run, State
from langgraph_worker.testing.memory_store.store import MemoryRunStore
from workflow_events.results import WorkflowResultEvent


class MemoryRunViews(RunViews):
    """The port on an open store in memory."""

    def __init__(self, store: MemoryRunStore) -> None:
        self._store = store

    async def find(self, wanted: RunFilter, limit: int, after: PageKey | None = None) -> RunPage:
        seen = (run for run in self._state.runs.values() if wanted.scope.includes(run.graph, _deployment(run)))
        fitting = [run for run in map(_summary, seen) if _fits(run, wanted)]
        behind = [run for run in fitting if after is None or run.key < after]
        in_order = sorted(behind, key=lambda run: run.key, reverse=True)
        runs = tuple(in_order[:limit])
        return RunPage(runs, runs[-1].key if len(in_order) > limit and runs else None)

    async def ids_beginning_with(self, prefix: str, limit: int) -> list[UUID]:
        first, last = ids_between(prefix)
        return sorted(name for name in self._state.runs if first <= name <= last)[:limit]

    async def detail(
        self, correlation_id: UUID, most_steps: int = MOST_SHOWN, scope: RunScope = EVERY_RUN
    ) -> RunDetail | None:
        state, run = self._state, self._state.runs.get(correlation_id)
        if run is None or not scope.includes(run.graph, _deployment(run)):
            return None
        place, result = run.place, _stored_result(run)
        asked = [q for q in state.questions if place is not None and q.place.logical_run == place.logical_run]
        spent = state.spending.get((place.lineage, place.generation)) if place is not None else None
        return RunDetail(
            run=_summary(run),
            event=run.event.model_dump(mode="json") if run.event is not None else None,
            result=result,
            deadline=run.deadline,
            not_before=run.not_before,
            waits_for=_waits_for(state, run) if run.status is RunStatus.PENDING else None,
            lineage=place.lineage if place is not None else None,
            generation=place.generation if place is not None else None,
            logical_run=place.logical_run if place is not None else None,
            release=run.release,
            takeovers=run.takeovers,
            published_at=run.publication.published_at if run.publication is not None else None,
            deployment=place.deployment if place is not None else None,
            run_start=run.event.attempt.run_start if run.event is not None and run.event.attempt is not None else None,
            steps=tuple(_steps(run)[-most_steps:]) if most_steps else (),
            errors=tuple(ErrorView(attempt, failure, run.worker_id, at) for failure, attempt, at in run.errors),
            questions=tuple(_question(state, q) for q in sorted(asked, key=lambda q: (q.asked_at, q.id))),
            usage=result.usage if result is not None else dict(spent.usage) if spent is not None else {},
            requests=_related(run, state.runs.values()),
        )

    async def steps(self, correlation_id: UUID, limit: int, after: StepKey | None = None) -> StepPage:
        run = self._state.runs.get(correlation_id)
        behind = [one for one in (_steps(run) if run is not None else ()) if after is None or one.key > after]
        steps = tuple(behind[:limit])
        return StepPage(steps, steps[-1].key if len(behind) > limit and steps else None)

    @property
    def _state(self) -> State:
        return self._store.database.state


def _stored_result(run: Run) -> WorkflowResultEvent | None:
    return WorkflowResultEvent.model_validate_json(run.end.reply.value) if run.end is not None else None


def _steps(run: Run) -> list[StepView]:
    return sorted((StepView(attempt, step) for attempt, step in run.steps.values()), key=lambda one: one.key)


def _related(run: Run, others: Iterable[Run]) -> tuple[RunSummary, ...]:
    found = [one for one in others if one is run or _same_lineage(one, run)]
    return tuple(sorted(map(_summary, found), key=lambda one: one.key)[-MOST_SHOWN:])


def _same_lineage(one: Run, other: Run) -> bool:
    return one.place is not None and other.place is not None and one.place.lineage == other.place.lineage


def _question(state: State, question: Question) -> QuestionView:
    asked_by = _stored_result(state.runs[question.asked_by])
    values = {one.id: one.value for one in asked_by.interrupts} if asked_by is not None else {}
    given = question.given
    return QuestionView(
        interrupt_id=question.id,
        asked_by=question.asked_by,
        asked_at=question.asked_at,
        state=QuestionState.PENDING
        if question.is_pending
        else QuestionState.ANSWERED
        if given is not None
        else QuestionState.RETIRED,
        value=values.get(question.id),
        answered_at=given.at if given is not None else None,
        answered_by=given.by if given is not None else None,
        answer_id=given.request if given is not None else None,
        answer=given.value if given is not None else None,
    )


def _summary(run: Run) -> RunSummary:
    place, end, attempt = run.place, run.end, run.attempt
    unfinished = ViewStatus.RUNNING if run.running else ViewStatus.PENDING
    return RunSummary(
        key=PageKey(run.accepted_at, run.seq),
        correlation_id=run.correlation_id,
        status=ViewStatus(end.result.status.value) if end is not None else unfinished,
        decision=run.decision,
        graph=run.graph,
        workflow_id=run.workflow_id,
        workflow_run_id=run.workflow_run_id,
        try_number=attempt.try_number if attempt is not None else None,
        replay=attempt.replay if attempt is not None else None,
        round=run.event.round if run.event is not None else 0,
        thread_id=place.thread_id if place is not None else None,
        thread_name=place.thread_name if place is not None else None,
        accepted_at=run.accepted_at,
        started_at=run.started_at,
        finished_at=end.at if end is not None else None,
        attempts=run.attempts,
        worker_id=run.worker_id,
        error_type=end.result.error_type if end is not None else None,
        deployment=_deployment(run),
    )


def _deployment(run: Run) -> str | None:
    if run.place is not None:
        return run.place.deployment or ""
    return asker_of_unplaced(run.event) if run.event is not None else None


def _fits(run: RunSummary, wanted: RunFilter) -> bool:
    return all(
        (
            not wanted.statuses or run.status in wanted.statuses,
            wanted.graph in (None, run.graph),
            wanted.workflow_id in (None, run.workflow_id),
            wanted.workflow_run_id in (None, run.workflow_run_id),
            wanted.error_type in (None, run.error_type),
            wanted.thread is None or wanted.thread in (run.thread_id, run.thread_name),
            wanted.since is None or run.accepted_at >= wanted.since,
            wanted.before is None or run.accepted_at < wanted.before,
        )
    )


def _waits_for(state: State, run: Run) -> WaitsFor:
    hold = state.threads[run.placed.thread_id].hold
    running = [one for one in state.runs.values() if one.graph == run.graph and one.status is RunStatus.RUNNING]
    paused = holding(state.pauses.values(), run.graph or "", run.workflow_id)
    holder = None if hold is None else hold.run
    return WaitsFor(tuple(sorted(run.retried.turns)), next(iter(paused), None), holder, len(running))
