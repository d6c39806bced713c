"""Claiming: which runs can start, and their start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, select, update

from langgraph_worker.domain.models import Claim, Decision, Lease, RunStatus
from langgraph_worker.domain.retry_policy import Retried
from langgraph_worker.domain.turns import STARTED
from langgraph_worker.store.migrations.schema import lineages, run_spending, threads, workflow_runs
from langgraph_worker.store.sql import graph_places, leases, next_runs, questions, spending
from langgraph_worker.store.sql.endings import MAX_TAKEOVERS, EndingContext, end_from_outside, ending
from langgraph_worker.store.sql.remembered_nodes import names_in
from langgraph_worker.store.sql.row_by_row import EVERY, Among
from langgraph_worker.store.sql.rows import Parameters, QuestionRow, columns_of
from langgraph_worker.store.sql.run_rows import ClaimableRun, RunBrief
from langgraph_worker.store.sql.store_replies import not_startable, refused, worker_lost
from workflow_events.identity import lineage_of
from workflow_events.models import WorkflowEvent
from workflow_events.results import WorkflowResultEvent

_COLUMNS = columns_of(ClaimableRun, workflow_runs)
_start = (
    update(workflow_runs)
    .where(workflow_runs.c.correlation_id == bindparam("run"))
    .values(
        {
            name: bindparam(name)
            for name in ("status", "turn", "attempts", "takeovers", "worker_id", "release", "started_at")
        }
    )
)
_of_its_generation = and_(
    lineages.c.lineage == workflow_runs.c.lineage, lineages.c.generation == workflow_runs.c.generation
)
_claimable = (
    select(
        *_COLUMNS,
        threads.c.token,
        lineages.c.nodes,
        lineages.c.release.label("begun_by"),
        lineages.c.traceparent.label("first_traceparent"),
        *spending.COLUMNS,
    )
    .select_from(workflow_runs)
    .join(threads, threads.c.thread_id == workflow_runs.c.thread_id)
    .outerjoin(lineages, _of_its_generation)
    .outerjoin(run_spending, spending.of_its_run)
    .where(workflow_runs.c.thread_id.in_(bindparam("names", expanding=True)), next_runs.can_start)
    .order_by(workflow_runs.c.turn, workflow_runs.c.seq)
    .with_for_update(of=workflow_runs)
)
_hold = (
    update(threads)
    .where(threads.c.thread_id == bindparam("thread"))
    .values({name: bindparam(name) for name in ("token", "held", "owner", "correlation_id", "until")})
)


@dataclass(frozen=True, slots=True)
class Claimant:
    """A worker that claims, until when its leases hold, and which release of the project it has.

    :param max_running: most runs at once over all workers, by graph.
    """

    worker_id: str
    graphs: Collection[str]
    until: datetime
    release: str | None = None
    max_running: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that can be claimed.

    :param questions: the questions of its logical run as they stand now, by interrupt id.
    :param given_to: those of them that its answers were given to.
    :param takeovers: how often its owner vanished since the last new checkpoint, this time included.
    """

    run: ClaimableRun
    event: WorkflowEvent
    questions: Mapping[str, QuestionRow]
    given_to: Mapping[str, QuestionRow]
    takeovers: int


def claim(
    connection: Connection, claimant: Claimant, limit: int, context: EndingContext, among: Among[str] = EVERY
) -> list[Claim]:
    """See :meth:`~langgraph_worker.store.port.RunStore.claim`. Ends what cannot be claimed any more.

    :param among: threads.
    """
    names = lock_startable(connection, claimant, limit, context.now, among)
    if not names:
        return []
    look = next_runs.look(claimant.graphs, context.now)
    # Again, now that the threads are locked: the first look may have seen what was older than the locks.
    runs = ClaimableRun.read(connection.execute(_claimable, look | {"names": names}))
    questions_by_thread = questions.on_threads(connection, {run.thread_id for run in runs})
    candidates = [_candidate(run, questions_by_thread.get(run.thread_id, ())) for run in runs]
    refusals = {one.run.correlation_id: _refusal(one, context.now) for one in candidates}
    over = {run: ending(result, context) for run, result in refusals.items() if result is not None}
    end_from_outside(connection, over, context.now)
    leases.free(connection, over)
    taken = [one for one in candidates if one.run.correlation_id not in over]
    claims = [_claim(one, claimant) for one in taken]
    if claims:
        connection.execute(
            _start, [_start_values(one, claim, context.now) for one, claim in zip(taken, claims, strict=True)]
        )
        connection.execute(_hold, [_hold_values(claim, claimant) for claim in claims])
    return claims


def can_start(connection: Connection, ids: Collection[UUID], claimant: Claimant, now: datetime) -> set[UUID]:
    """See :meth:`~langgraph_worker.store.port.RunStore.can_start`."""
    if not ids or not claimant.graphs:
        return set()
    rooms = graph_places.rooms(connection, claimant.graphs, claimant.max_running, now)
    return next_runs.startable(connection, ids, rooms, now)


def lock_startable(
    connection: Connection, claimant: Claimant, limit: int, now: datetime, among: Among[str] = EVERY
) -> list[str]:
    """Lock the threads whose next run can start: up to ``limit``, and of each graph up to its room.

    The rooms stay locked too, until the transaction ends.
    """
    if limit < 1 or not claimant.graphs:
        return []
    rooms = graph_places.lock_rooms(connection, claimant.graphs, claimant.max_running, now)
    return next_runs.lock_threads(connection, rooms, limit, now, among)


def end_unstartable(connection: Connection, claimant: Claimant, name: str, context: EndingContext) -> None:
    """End the run that would start next on a thread, and that :func:`claim` cannot handle; reads little of it."""
    lock_startable(connection, claimant, 1, context.now, Among(only=name))
    brief = _claimable.with_only_columns(*columns_of(RunBrief, workflow_runs))
    runs = RunBrief.read(connection.execute(brief, next_runs.look(claimant.graphs, context.now) | {"names": [name]}))
    endings = {run.correlation_id: ending(not_startable(run, context.now), context) for run in runs}
    end_from_outside(connection, endings, context.now)
    leases.free(connection, endings)


def _candidate(run: ClaimableRun, asked: Collection[QuestionRow]) -> Candidate:
    # Only its own logical run's: others ask on a shared thread too, perhaps by the same ids.
    asked = [question for question in asked if question.logical_run == run.logical_run]
    return Candidate(
        run,
        WorkflowEvent.model_validate_json(run.event),
        questions.latest(asked),
        questions.given_to(asked, run.askings),
        # A run that is RUNNING although its thread is free has lost its owner.
        takeovers=run.takeovers + (run.status == RunStatus.RUNNING),
    )


def _refusal(candidate: Candidate, now: datetime) -> WorkflowResultEvent | None:
    """The end of a run that could be claimed, but must not be; None if it may be claimed."""
    if candidate.takeovers > MAX_TAKEOVERS:
        return worker_lost(candidate.run, candidate.takeovers, now)
    event = candidate.event
    asked = questions.pending_by_lineage(candidate.questions.values())
    problem = questions.refusal(event.answers, candidate.given_to, lineage_of(event), asked)
    return refused(candidate.run, problem, now) if problem else None


def _claim(candidate: Candidate, claimant: Claimant) -> Claim:
    run, event = candidate.run, candidate.event
    attempts = run.attempts + 1
    return Claim(
        event=event,
        graph=run.graph,
        thread_id=run.thread_id,
        logical_run=run.logical_run,
        lineage=run.lineage,
        generation=run.generation,
        resumes=run.decision in (Decision.RESUMED, Decision.ANSWER) or attempts > 1,
        attempts=attempts,
        nodes=None if run.nodes is None else names_in(run.nodes),
        lease=Lease(run.thread_id, run.token + 1),
        accepted_at=run.accepted_at,
        worker_id=claimant.worker_id,
        takeovers=candidate.takeovers,
        is_new=attempts == 1 and run.decision == Decision.FRESH and event.thread_id is None,
        answers=questions.to_apply(event.answers, candidate.given_to),
        answered=frozenset(name for name, asked in candidate.questions.items() if asked.answered_at),
        deployment=run.deployment or "",
        thread_name=run.thread_name,
        release=claimant.release,
        begun_by=run.begun_by,
        traceparent=run.traceparent,
        first_traceparent=run.first_traceparent,
        spent=run.spent,
        retried=Retried.from_json(run.retried),
    )


def _start_values(candidate: Candidate, claim: Claim, now: datetime) -> Parameters:
    return {
        "run": claim.correlation_id,
        "status": RunStatus.RUNNING.value,
        "turn": STARTED,
        "attempts": claim.attempts,
        "takeovers": claim.takeovers,
        "worker_id": claim.worker_id,
        "release": claim.release,
        "started_at": candidate.run.started_at or now,
    }


def _hold_values(claim: Claim, claimant: Claimant) -> Parameters:
    return {
        "thread": claim.thread_id,
        "token": claim.lease.token,
        "held": claim.lease.token,
        "owner": claimant.worker_id,
        "correlation_id": claim.correlation_id,
        "until": claimant.until,
    }


def is_taken_over(connection: Connection, claim: Claim) -> bool:
    """See :meth:`~langgraph_worker.store.port.RunStore.is_taken_over`."""
    runs = workflow_runs.c
    later = and_(runs.correlation_id == claim.correlation_id, runs.attempts > claim.attempts)
    return connection.execute(select(runs.seq).where(later)).first() is not None
