"""Claiming: which runs can start, and their start."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)

from langgraph_worker.store import leases, questions
from langgraph_worker.store.book import lineage_of
from langgraph_worker.store.endings import MAX_TAKEOVERS, Terms, end_runs, ending, refused, worker_lost
from langgraph_worker.store.port import Claim, Decision, Lease, RunStatus
from langgraph_worker.store.schema import UtcDateTime, interrupts, lineages, threads, workflow_runs
from langgraph_worker.store.statements import Row
from workflow_events.models import WorkflowEvent
from workflow_events.results import WorkflowResultEvent

_COLUMNS = (
    "correlation_id",
    "workflow_id",
    "workflow_run_id",
    "deadline",
    "lineage",
    "status",
    "decision",
    "event",
    "graph",
    "generation",
    "logical_run",
    "thread_id",
    "accepted_at",
    "started_at",
    "attempts",
    "takeovers",
    "worker_id",
)
_STARTED = ("status", "attempts", "takeovers", "worker_id", "started_at")
_start = (
    update(workflow_runs)
    .where(workflow_runs.c.correlation_id == bindparam("of"))
    .values({name: bindparam(name) for name in _STARTED})
)
_HELD = ("token", "held", "owner", "correlation_id", "until")
_hold = update(threads).where(threads.c.thread_id == bindparam("of")).values({name: bindparam(name) for name in _HELD})


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, and until when the leases hold."""

    worker_id: str
    graphs: Collection[str]
    until: datetime


def claim(connection: Connection, who: Claimant, limit: int, terms: Terms) -> list[Claim]:
    """See :meth:`~langgraph_worker.store.port.RunStore.claim`. Ends what cannot be claimed any more."""
    if limit < 1 or not who.graphs:
        return []
    look = {"graphs": list(who.graphs), "now": terms.now}
    most = {"most": limit, "looked_at": limit + _LOOKED_AT}
    names = list(connection.execute(_lock_threads, look | most).scalars())
    if not names:
        return []
    # Again, now that the threads stand still: what the first look saw may be older than the locks.
    found = [dict(row) for row in connection.execute(_claimable, look | {"names": names}).mappings()]
    asked = questions.of_threads(connection, {row["thread_id"] for row in found})
    over = {}
    for row in found:
        row["takeovers"] += row["status"] == RunStatus.RUNNING  # found running, and nobody holds its thread
        row["asked"] = asked.get(row["thread_id"], [])
        row["event"] = WorkflowEvent.model_validate_json(row["event"])
        result = _ends(row, terms)
        if result is not None:
            over[row["correlation_id"]] = ending(result, terms)
    end_runs(connection, over)
    leases.free(connection, over)
    taken = [_taken(row, who, terms.now) for row in found if row["correlation_id"] not in over]
    if taken:
        connection.execute(_start, [{**_only(row, _STARTED), "of": row["correlation_id"]} for row in taken])
        connection.execute(_hold, [{**_only(row, _HELD), "of": row["thread_id"]} for row in taken])
    return [_claim(row) for row in taken]


def _ends(row: Row, terms: Terms) -> WorkflowResultEvent | None:
    """The end of a run that would be claimed, but must not be."""
    if row["takeovers"] > MAX_TAKEOVERS:
        return worker_lost(row, terms.now)
    event: WorkflowEvent = row["event"]
    problem = questions.refusal(event.answers, questions.latest(row["asked"]), lineage_of(event))
    return refused(row, problem, terms.now) if problem else None


# The statements are constants: to build one takes longer than to execute it.
_now = bindparam("now", type_=UtcDateTime())
_graphs: BindParameter[str] = bindparam("graphs", expanding=True)


def _answers(runs: FromClause) -> ColumnElement[bool]:
    """Of a run: it answers questions. Its round alone does not tell: anybody may write one into an event."""
    return runs.c.decision == Decision.ANSWER.value


def _waits_its_turn(runs: FromClause) -> ColumnElement[bool]:
    """Unfinished, in time, and not shut out by a question that the thread asks somebody else (rule 2)."""
    foreign = exists().where(
        interrupts.c.thread_id == runs.c.thread_id, questions.is_pending(), interrupts.c.lineage != runs.c.lineage
    )
    return and_(
        runs.c.finished_at.is_(None),
        or_(runs.c.deadline.is_(None), runs.c.deadline > _now),
        or_(_answers(runs), ~foreign),
    )


def _can_start() -> ColumnElement[bool]:
    """Of a run, joined to its thread: it can start now, and goes first on its thread."""
    runs, other = workflow_runs, workflow_runs.alias()
    its_turn = or_(
        and_(_answers(other), ~_answers(runs)),
        and_(other.c.seq < runs.c.seq, _answers(other) == _answers(runs)),
    )
    another_first = exists().where(other.c.thread_id == runs.c.thread_id, its_turn, _waits_its_turn(other))
    return and_(
        _waits_its_turn(runs),
        runs.c.graph.in_(_graphs),
        or_(runs.c.not_before.is_(None), runs.c.not_before <= _now),
        leases.is_free(_now),
        ~another_first,
    )


# The oldest runs that can start. So many are looked at that one workflow's flood does not hide the others, and so few
# that a long backlog costs nothing.
_LOOKED_AT = 200
_oldest = (
    select(workflow_runs.c.seq, workflow_runs.c.thread_id, workflow_runs.c.workflow_id)
    .join(threads, threads.c.thread_id == workflow_runs.c.thread_id)
    .where(_can_start())
    .order_by(workflow_runs.c.seq)
    .limit(bindparam("looked_at", type_=Integer()))
    .subquery()
)
_turn = func.row_number().over(partition_by=_oldest.c.workflow_id, order_by=_oldest.c.seq)
_in_turn = select(_oldest.c.seq, _oldest.c.thread_id, _turn.label("turn")).subquery()
# Their threads, but for those that somebody else is just looking at.
_lock_threads = (
    select(threads.c.thread_id)
    .join(_in_turn, _in_turn.c.thread_id == threads.c.thread_id)
    .order_by(_in_turn.c.turn, _in_turn.c.seq)
    .limit(bindparam("most", type_=Integer()))
    .with_for_update(of=threads, key_share=True, skip_locked=True)
)
_of_its_generation = and_(
    lineages.c.lineage == workflow_runs.c.lineage, lineages.c.generation == workflow_runs.c.generation
)
_claimable = (
    select(*[workflow_runs.c[name] for name in _COLUMNS], threads.c.token, lineages.c.nodes)
    .select_from(workflow_runs)
    .join(threads, threads.c.thread_id == workflow_runs.c.thread_id)
    .outerjoin(lineages, _of_its_generation)
    .where(workflow_runs.c.thread_id.in_(bindparam("names", expanding=True)), _can_start())
    .order_by(workflow_runs.c.seq)
    .with_for_update(of=workflow_runs)
)


def _taken(row: Row, who: Claimant, now: datetime) -> Row:
    token = row["token"] + 1
    return row | {
        "status": RunStatus.RUNNING.value,
        "attempts": row["attempts"] + 1,
        "worker_id": who.worker_id,
        "started_at": row["started_at"] or now,
        "token": token,
        "held": token,
        "owner": who.worker_id,
        "until": who.until,
    }


def _only(row: Row, names: Collection[str]) -> Row:
    return {name: row[name] for name in names}


def _claim(row: Row) -> Claim:
    return Claim(
        event=row["event"],
        graph=row["graph"],
        thread_id=row["thread_id"],
        logical_run=row["logical_run"],
        lineage=row["lineage"],
        generation=row["generation"],
        resumes=row["decision"] in (Decision.RESUMED, Decision.ANSWER) or row["attempts"] > 1,
        attempts=row["attempts"],
        nodes=None if row["nodes"] is None else frozenset(row["nodes"]),
        lease=Lease(row["thread_id"], row["token"]),
        accepted_at=row["accepted_at"],
        worker_id=row["worker_id"],
        takeovers=row["takeovers"],
        is_new=row["attempts"] == 1 and row["decision"] == Decision.FRESH and row["event"].thread_id is None,
        answers=questions.to_apply(row["event"].answers, questions.latest(row["asked"])),
        answered=frozenset(name for name, asked in questions.latest(row["asked"]).items() if asked["answered_at"]),
    )
