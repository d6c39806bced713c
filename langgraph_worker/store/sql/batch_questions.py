"""The questions that a batch of requests meets: those that it answers, and those that its lineages still ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from langgraph_worker.store.sql import questions
from langgraph_worker.store.sql.questions import AskingRun
from langgraph_worker.store.sql.rows import GraphQuestion
from langgraph_worker.store.sql.run_rows import RunRow
from workflow_events.models import WorkflowEvent


class BatchQuestions:
    """Changes while the batch is decided: a request may retire a question that a later one answers.

    :param answered: all questions with the ids that the batch answers.
    :param asking: by lineage, the runs that ask what is pending.
    """

    def __init__(self, answered: Collection[GraphQuestion], asking: Mapping[str, AskingRun]) -> None:
        self._answered: defaultdict[str, list[GraphQuestion]] = defaultdict(list)
        for question in answered:
            self._answered[question.interrupt_id].append(question)
        self._asking = dict(asking)

    def given_to(self, event: WorkflowEvent, lineage: str, repeated: RunRow | None) -> dict[str, GraphQuestion]:
        """The questions that an event answers, by id. An id alone names no run: the event's own lineage comes first.

        :param repeated: the earlier request whose answers it gives once more.
        """
        rows = [row for answer in event.answers for row in self._named(event, answer.interrupt_id)]
        if repeated is not None and repeated.askings is not None:
            rows = [row for row in rows if row.thread_id == repeated.thread_id]
            return questions.given_to(rows, repeated.askings)
        own = {row.interrupt_id for row in rows if row.is_pending and row.lineage == lineage}
        return questions.latest(row for row in rows if row.interrupt_id not in own or row.lineage == lineage)

    def problem(self, event: WorkflowEvent, lineage: str, answered: Mapping[str, GraphQuestion]) -> str | None:
        """Why the event's answers cannot be taken; None if they can.

        :param answered: the questions that they are given to.
        """
        problem = questions.refusal(event.answers, answered, lineage) or _foreign(event, answered)
        return problem or self._ambiguous(event, lineage, answered) or _other_graph(event, answered)

    def _ambiguous(self, event: WorkflowEvent, lineage: str, answered: Mapping[str, GraphQuestion]) -> str | None:
        for place, answer in enumerate(event.answers):
            chosen, name = answered[answer.interrupt_id], answer.interrupt_id
            threads = {row.thread_id for row in self._named(event, name) if row.is_pending}
            if chosen.is_pending and chosen.lineage != lineage and len(threads) > 1:
                return (
                    f"field 'answers[{place}]': interrupt {name!r} is asked by several runs, and the id alone names "
                    "none of them. Let the task that asked answer it, or ask with interrupt() in place of NodeInterrupt"
                )
        return None

    def _named(self, event: WorkflowEvent, name: str) -> list[GraphQuestion]:
        """The questions by an id that an event may answer; if it may answer none of them, all."""
        rows = self._answered.get(name, [])
        return [row for row in rows if row.is_open_to(event)] or rows

    def is_asking(self, lineage: str, generation: int) -> bool:
        """Whether this generation of a lineage has a pending question."""
        run = self._asking.get(lineage)
        return run is not None and run.generation == generation

    def asking_run(self, lineage: str) -> UUID:
        """The run that ended with the lineage's pending question."""
        return self._asking[lineage].correlation_id

    def retire_before(self, lineage: str, generation: int, now: datetime) -> None:
        """A lineage starts afresh with this generation: what older ones asked is not asked any more."""
        for rows in self._answered.values():
            rows[:] = [
                row.retired(now) if row.lineage == lineage and row.generation < generation else row for row in rows
            ]

    def withdraw(self, lineage: str, generation: int, now: datetime) -> None:
        """The request that repeats this generation's question is cancelled: it is not asked any more."""
        self._asking.pop(lineage, None)
        for rows in self._answered.values():
            rows[:] = [
                row.retired(now)
                if (row.lineage, row.generation, row.answered_at) == (lineage, generation, None)
                else row
                for row in rows
            ]


def _foreign(event: WorkflowEvent, answered: Mapping[str, GraphQuestion]) -> str | None:
    for name, question in answered.items():
        if not question.is_open_to(event):
            return (
                f"field 'attempt.deployment': interrupt {name!r} is not pending there: another deployment asked "
                "it. Let one of its tasks answer, or a person, by an event without attempt"
            )
    return None


def _other_graph(event: WorkflowEvent, answered: Mapping[str, GraphQuestion]) -> str | None:
    graph = answered[event.answers[0].interrupt_id].graph
    if event.graph in (None, graph):
        return None
    return f"field 'graph': {event.graph!r} is answered, but {graph!r} asked. Leave the field out"
