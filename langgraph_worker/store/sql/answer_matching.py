"""Which questions an answer is for. An id names no run: LangGraph's ``NodeInterrupt`` has the same one in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from langgraph_worker.domain.models import Decision
from langgraph_worker.store.sql.rows import GraphQuestion
from langgraph_worker.store.sql.run_rows import RunRow
from workflow_events.models import WorkflowEvent

EXACTLY = "Set 'answers_to' to the correlation_id of the result that asks it"


@dataclass(frozen=True, slots=True)
class RelatedRuns:
    """The runs that say which questions an answer is for.

    :param repeated: the earlier request whose answers it gives once more.
    :param addressed: the request that its ``answers_to`` names; None if it names none that the store knows.
    """

    repeated: RunRow | None = None
    addressed: RunRow | None = None


def candidates(
    event: WorkflowEvent, lineage: str, rows: Sequence[GraphQuestion], addressed: RunRow | None
) -> list[GraphQuestion]:
    """The questions by one id that an event may mean: those of the request that it names, else of its own lineage, else
    of its DAG run. Nothing is guessed: what was answered or retired stays among them.

    :param rows: all questions by the id.
    """
    if event.answers_to is not None:
        found = _asked_by(event.answers_to, rows, addressed)
    else:
        own = [row for row in rows if row.lineage == lineage]
        found = own or [row for row in rows if row.is_of_dag_run(event)]
    return [row for row in found if row.is_open_to(event)] or found


def _asked_by(request: UUID, rows: Sequence[GraphQuestion], run: RunRow | None) -> list[GraphQuestion]:
    """The askings that a request ended with, also where a later request repeated them."""
    asked = [row for row in rows if row.correlation_id == request]
    if not asked and run is not None and run.decision == Decision.ANSWERED.value:
        # A retry: its result repeats what its logical run asked last, before the retry was accepted.
        place = (run.thread_id, run.logical_run)
        of_run = [row for row in rows if (row.thread_id, row.logical_run) == place and row.asked_at <= run.accepted_at]
        asked = sorted(of_run, key=lambda row: row.asked_at)[-1:]
    askings = {(row.thread_id, row.logical_run, row.number) for row in asked}
    return [row for row in rows if (row.thread_id, row.logical_run, row.number) in askings]


def unclear(
    event: WorkflowEvent,
    found: Mapping[str, Sequence[GraphQuestion]],
    known: Mapping[str, Sequence[GraphQuestion]],
) -> str | None:
    """Why it is not clear which run an event answers; None if it is, or if nothing asked by such an id.

    :param found: the :func:`candidates` by id.
    :param known: all questions by id.
    """
    for place, answer in enumerate(event.answers):
        name = answer.interrupt_id
        if not found[name] and known.get(name):
            return _no_candidate(event, place, name)
        if len({row.lineage for row in found[name]}) > 1:
            return f"field 'answers[{place}]': interrupt {name!r} was asked by several runs of this DAG run. {EXACTLY}"
    return None


def _no_candidate(event: WorkflowEvent, place: int, name: str) -> str:
    if event.answers_to is not None:
        return (
            f"field 'answers_to': request {event.answers_to} asked no question by the id {name!r}, or it was pruned. "
            f"{EXACTLY}"
        )
    return (
        f"field 'answers[{place}]': interrupt {name!r} was asked, but not by DAG run {event.workflow_run_id!r} of "
        f"{event.workflow_id!r}, which the event names. {EXACTLY}"
    )
