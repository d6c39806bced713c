"""Remove all that is kept of chosen runs, however young they are: a person or a law asks for it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, delete, exists, or_, select, update

from langgraph_worker.store.migrations.schema import cancellations, interrupts, lineages, tasks, workflow_runs
from langgraph_worker.store.sql import leases, questions
from langgraph_worker.store.sql.retention import remove_runs
from langgraph_worker.store.sql.rows import columns_of
from langgraph_worker.store.sql.run_rows import PrunableRun

_runs = workflow_runs.c
_COLUMNS = columns_of(PrunableRun, workflow_runs)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was removed of what belongs to one run.

    :param why: in words, with what to do.
    """

    correlation_id: UUID
    why: str


@dataclass(frozen=True, slots=True)
class ErasedRun:
    """A request, as a person knows it.

    :param graph: None: it was refused before its graph was known.
    """

    correlation_id: UUID
    graph: str | None
    workflow_id: str
    workflow_run_id: str


@dataclass(frozen=True, slots=True)
class Erased:
    """What one call has done, or would do.

    :param runs: the requests that are gone: those that were chosen, and all of the same tasks and plain requests.
    :param threads: how many threads are gone, with their checkpoints.
    :param shared: threads that stay, because other runs are on them: their checkpoints hold what was said before.
    :param refusals: of these, and of all that belongs to the same tasks, nothing was removed.
    """

    runs: tuple[ErasedRun, ...] = ()
    threads: int = 0
    shared: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def ids(self) -> tuple[UUID, ...]:
        """Of the requests that are gone."""
        return tuple(run.correlation_id for run in self.runs)


def erase(
    connection: Connection, chosen: Collection[UUID], tombstones: timedelta, now: datetime, *, is_trial: bool = False
) -> Erased:
    """Remove the runs with their requests, results, steps, errors, questions and answers, and the threads that no other
    run uses. Each leaves a tombstone, so that its event, read again, runs nothing.

    With a run goes all that was asked for the same task, by all of its attempts and agents; with a plain request, its
    replays and the answers to it.

    :param is_trial: remove nothing.
    """
    found = _same_work(connection, chosen)
    locked = {run.task for run in found if run.task is not None}
    if locked:
        wanted = select(tasks.c.task).where(tasks.c.task.in_(locked)).order_by(tasks.c.task).with_for_update()
        connection.execute(wanted).all()
    held = leases.lock(connection, {run.thread_id for run in found if run.thread_id is not None})
    found = _same_work(connection, chosen)  # again, under the locks
    asking = _asking(connection, [run.correlation_id for run in found])
    busy = {name for name, thread in held.items() if thread.held is not None}
    refusals: list[Refusal] = []
    for refuse in (partial(_refusal, asking=asking), partial(_at_work, busy=busy)):
        some = [refusal for run in found if (refusal := refuse(run)) is not None]
        staying = {run.correlation_id for run in _same_work(connection, [one.correlation_id for one in some])}
        found = [run for run in found if run.correlation_id not in staying]
        refusals += some
    shared = _shared_threads(connection, found)
    ids = [run.correlation_id for run in found]
    runs = tuple(ErasedRun(*(run._mapping[one.name] for one in fields(ErasedRun))) for run in found)
    if is_trial or not ids:
        gone = {run.thread_id for run in found if run.thread_id is not None} - set(shared)
        return Erased(runs, len(gone), tuple(shared), tuple(refusals))
    going = {run.correlation_id: _prunable(run) for run in found}
    connection.execute(delete(cancellations).where(cancellations.c.correlation_id.in_(ids)))
    _keep_other_lineages(connection, ids)
    gone_threads = remove_runs(connection, going, now, now + tombstones)
    # Also one whose newest request was an answer for another task: that stays with the other task.
    own = {run.lineage for run in found if run.lineage is not None}
    connection.execute(delete(lineages).where(lineages.c.lineage.in_(own)))
    return Erased(runs, gone_threads, tuple(shared), tuple(refusals))


def forks_of(connection: Connection, ids: Collection[UUID]) -> list[UUID]:
    """The requests that began with a checkpoint of one of these, or of such a fork, and are none of these: their
    threads have copies. It reads all events that are kept.
    """
    events = select(_runs.correlation_id, _runs.event).where(_runs.event.contains('"fork":{"of":"', autoescape=True))
    origins = {name: _origin(event) for name, event in connection.execute(events.order_by(_runs.seq))}
    holding = set(ids)
    while more := {name for name, origin in origins.items() if origin in holding} - holding:
        holding |= more
    return [name for name in origins if name in holding.difference(ids)]


def _origin(event: str) -> UUID | None:
    fork = json.loads(event).get("fork")  # else the words are in the input
    return UUID(fork["of"]) if fork else None


def _keep_other_lineages(connection: Connection, ids: Sequence[UUID]) -> None:
    """Let the lineages that stay name a request that stays as their newest. An answer for another task was one."""
    left = select(_runs.correlation_id).where(_runs.lineage == lineages.c.lineage, _runs.correlation_id.not_in(ids))
    newest = left.order_by(_runs.seq.desc()).limit(1).scalar_subquery()
    has_others = exists().where(_runs.lineage == lineages.c.lineage, _runs.correlation_id.not_in(ids))
    connection.execute(update(lineages).where(lineages.c.newest.in_(ids), has_others).values(newest=newest))


def _same_work(connection: Connection, chosen: Collection[UUID]) -> Sequence[Any]:
    """The chosen runs, and all that were asked for the same work, in the order of their acceptance."""
    ids = list(chosen)
    own = select(_runs.lineage).where(_runs.correlation_id.in_(ids), _runs.lineage.is_not(None))
    of_tasks = select(lineages.c.task).where(lineages.c.lineage.in_(own), lineages.c.task.is_not(None))
    all_of_them = select(lineages.c.lineage).where(or_(lineages.c.lineage.in_(own), lineages.c.task.in_(of_tasks)))
    # One that never ran has no lineage: a refused request, or a late attempt.
    late = and_(_runs.lineage.is_(None), or_(_runs.correlation_id.in_(ids), _runs.task.in_(of_tasks)))
    named = (_runs.graph, _runs.workflow_id, _runs.workflow_run_id)
    query = select(*_COLUMNS, *named, _runs.lineage, _runs.published_at)
    return connection.execute(query.where(or_(_runs.lineage.in_(all_of_them), late)).order_by(_runs.seq)).all()


def _asking(connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    pending = exists().where(interrupts.c.correlation_id == _runs.correlation_id, questions.is_pending())
    return set(connection.execute(select(_runs.correlation_id).where(_runs.correlation_id.in_(ids), pending)).scalars())


def _refusal(run: Any, asking: Collection[UUID]) -> Refusal | None:
    if run.finished_at is None:
        return Refusal(run.correlation_id, "it has not ended: cancel it, or wait for its end")
    if run.published_at is None:
        return Refusal(run.correlation_id, "its result has not reached Kafka yet: wait until a worker has published it")
    if run.correlation_id in asking:
        return Refusal(run.correlation_id, "it waits for a person: answer its question, or cancel it")
    return None


def _at_work(run: Any, busy: Collection[str]) -> Refusal | None:
    if run.thread_id in busy:
        return Refusal(run.correlation_id, "a node is at work on its thread: wait for its end")
    return None


def _shared_threads(connection: Connection, found: Sequence[Any]) -> list[str]:
    names, ids = {run.thread_id for run in found if run.thread_id is not None}, [run.correlation_id for run in found]
    others = select(_runs.thread_id).where(_runs.thread_id.in_(names), _runs.correlation_id.not_in(ids)).distinct()
    return sorted(connection.execute(others).scalars())


def _prunable(run: Any) -> PrunableRun:
    return PrunableRun(**{column.name: run._mapping[column.name] for column in _COLUMNS})
