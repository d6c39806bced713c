"""Claiming: which runs can start, and their start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime

from langgraph_worker.domain import faults
from langgraph_worker.domain.models import Claim, Decision, Lease
from langgraph_worker.domain.pauses import holding
from langgraph_worker.domain.turns import STARTED
from langgraph_worker.testing.memory_store import questions
from langgraph_worker.testing.memory_store.endings import end_with, free_thread
from langgraph_worker.testing.memory_store.state import Hold, Question, Run, Thread, Transaction
from workflow_events.identity import lineage_of

MAX_TAKEOVERS = 3


def claim(tx: Transaction, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
    """See :meth:`~langgraph_worker.store.port.RunStore.claim`. A run that ends here counts for the limit."""
    chosen = _in_turn(_startable(tx, graphs))[: max(limit, 0)]
    claims = [_take(tx, run, worker_id) for run in sorted(chosen, key=_turn)]
    return [one for one in claims if one is not None]


def _in_turn(runs: Collection[Run]) -> list[Run]:
    """Each deployment in turn, of each its workflows in turn, the earliest turns first."""
    workflows: Counter[tuple[str, str]] = Counter()
    ranked = []
    for run in sorted(runs, key=_turn):
        key = run.placed.deployment or "", run.workflow_id
        workflows[key] += 1
        ranked.append((workflows[key], _turn(run), run))
    deployments: Counter[str] = Counter()
    in_turn = []
    for *_, run in sorted(ranked, key=lambda one: one[:2]):
        deployments[run.placed.deployment or ""] += 1
        in_turn.append((deployments[run.placed.deployment or ""], _turn(run), run))
    return [run for *_, run in sorted(in_turn, key=lambda one: one[:2])]


def _turn(run: Run) -> tuple[datetime, int]:
    return run.turn, run.seq


def _startable(tx: Transaction, graphs: Collection[str]) -> list[Run]:
    """The runs of these graphs that can start now, all at once: of a graph with a limit those that have a place."""
    able = able_to_start(tx, graphs)
    kept: list[Run] = []
    rooms = {graph: limit - _running(tx, graph) for graph, limit in tx.max_running.items()}
    for run in sorted(able, key=_turn):
        assert run.graph is not None
        if rooms.setdefault(run.graph, len(able)) > 0:
            rooms[run.graph] -= 1
            kept.append(run)
    return kept


def able_to_start(tx: Transaction, graphs: Collection[str]) -> list[Run]:
    """The runs of these graphs that can start now, each by itself: their graphs are not full."""
    limits = tx.max_running
    open_graphs = {graph for graph in graphs if graph not in limits or _running(tx, graph) < limits[graph]}
    return [run for run in tx.unfinished() if run.graph in open_graphs and _can_start(tx, run)]


def _running(tx: Transaction, graph: str) -> int:
    """How many threads are held for runs of a graph, also for one that was ended from outside."""
    held = [thread.hold.run for thread in tx.state.threads.values() if thread.hold and not thread.is_free(tx.now)]
    return sum(tx.state.runs[run].graph == graph for run in held if run in tx.state.runs)


def _can_start(tx: Transaction, run: Run) -> bool:
    """Its time has come, its thread is free, and it is the first on that thread."""
    if not _waits_its_turn(tx, run) or (run.not_before is not None and run.not_before > tx.now):
        return False
    if holding(tx.state.pauses.values(), run.graph or "", run.workflow_id):
        return False
    place = run.placed
    queue = [
        other for other in tx.unfinished() if other.placed.thread_id == place.thread_id and _waits_its_turn(tx, other)
    ]
    first = min(queue, key=lambda other: (not other.is_answer, other.seq))
    return first.correlation_id == run.correlation_id and tx.state.threads[place.thread_id].is_free(tx.now)


def _waits_its_turn(tx: Transaction, run: Run) -> bool:
    in_time = run.deadline is None or run.deadline > tx.now
    return in_time and not questions.is_held_up(tx.state, run)


def _take(tx: Transaction, run: Run, worker_id: str) -> Claim | None:
    """Claim a run; None if it must not run, and has ended instead."""
    assert run.event is not None
    asked = questions.of_run(tx.state.questions, run)
    known, given_to = questions.latest(asked), questions.given_to(asked, run.askings)
    takeovers = run.takeovers + run.running  # RUNNING although its thread is free: its owner is lost
    if takeovers > MAX_TAKEOVERS:
        text = f"given up: workers vanished {takeovers} times while they ran it, the last was {run.worker_id!r}"
        spent = tx.state.spending.get((run.placed.lineage, run.placed.generation))
        free_thread(tx, end_with(tx, run, faults.WORKER_LOST, text, spent.usage if spent else None))
        return None
    problem = questions.refusal(tx.state, run.event.answers, given_to, lineage_of(run.event))
    if problem:
        free_thread(tx, end_with(tx, run, faults.INTERRUPT_NOT_PENDING, problem))
        return None
    run = tx.put(
        run,
        running=True,
        turn=STARTED,
        attempts=run.attempts + 1,
        takeovers=takeovers,
        worker_id=worker_id,
        release=tx.release,
        started_at=run.started_at or tx.now,
    )
    return _claim(tx, run, worker_id, known, given_to)


def _claim(
    tx: Transaction, run: Run, worker_id: str, known: Mapping[str, Question], given_to: Mapping[str, Question]
) -> Claim:
    """Give a run's thread to the worker.

    :param known: the questions of its logical run, by id.
    :param given_to: those that the run's answers were given to.
    """
    place, event = run.placed, run.event
    assert event is not None
    token = tx.state.threads[place.thread_id].token + 1
    tx.state.threads[place.thread_id] = Thread(token, Hold(run.correlation_id, worker_id, token, tx.now + tx.lease))
    record = tx.state.lineages[place.lineage]
    return Claim(
        event=event,
        graph=run.graph or "",
        thread_id=place.thread_id,
        logical_run=place.logical_run,
        lineage=place.lineage,
        generation=place.generation,
        resumes=run.decision in (Decision.RESUMED, Decision.ANSWER) or run.attempts > 1,
        attempts=run.attempts,
        nodes=record.nodes if record.generation == place.generation else None,
        lease=Lease(place.thread_id, token),
        accepted_at=run.accepted_at,
        worker_id=worker_id,
        takeovers=run.takeovers,
        is_new=run.attempts == 1 and run.decision is Decision.FRESH and event.thread_id is None,
        answers={one.interrupt_id: one.value for one in event.answers if given_to[one.interrupt_id].is_pending},
        answered=frozenset(name for name, question in known.items() if question.given is not None),
        deployment=place.deployment or "",
        thread_name=place.thread_name,
        release=tx.release,
        begun_by=record.release if record.generation == place.generation else None,
        spent=tx.state.spending.get((place.lineage, place.generation)),
        retried=run.retried,
        traceparent=run.traceparent,
        first_traceparent=record.traceparent if record.generation == place.generation else None,
    )
