"""The questions that a batch of requests meets: those that it answers, and those that its lineages still ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from langgraph_worker.store.sql import questions
from langgraph_worker.store.sql.answer_matching import RelatedRuns, candidates, unclear
from langgraph_worker.store.sql.questions import AskingRun
from langgraph_worker.store.sql.rows import GraphQuestion, QuestionRow
from workflow_events.models import WorkflowEvent


@dataclass(frozen=True, slots=True)
class Match:
    """What an event's answers are given to.

    :param questions: by id.
    :param problem: why the answers cannot be taken; None if they can.
    """

    questions: Mapping[str, GraphQuestion]
    problem: str | None


class BatchQuestions:
    """Changes while the batch is decided: a request may retire a question that a later one answers.

    :param answered: all questions with the ids that the batch answers.
    :param asking: by lineage, the runs that ask what is pending.
    :param current: by lineage, what is pending in the lineages that the batch answers; for refusals.
    """

    def __init__(
        self,
        answered: Collection[GraphQuestion],
        asking: Mapping[str, AskingRun],
        current: Mapping[str, Sequence[QuestionRow]],
    ) -> None:
        self._answered: defaultdict[str, list[GraphQuestion]] = defaultdict(list)
        for question in answered:
            self._answered[question.interrupt_id].append(question)
        self._asking = dict(asking)
        self._current = dict(current)

    def match(self, event: WorkflowEvent, lineage: str, related: RelatedRuns) -> Match:
        """The questions that an event answers, or why its answers cannot be taken.

        :param lineage: its own lineage.
        """
        names = [answer.interrupt_id for answer in event.answers]
        repeated = related.repeated
        if repeated is not None and repeated.askings is not None:
            rows = [row for name in names for row in self._answered.get(name, [])]
            of_its_run = (row for row in rows if row.logical_run == repeated.logical_run)
            given, problem = questions.given_to(of_its_run, repeated.askings), None
        else:
            found = {
                name: candidates(event, lineage, self._answered.get(name, []), related.addressed) for name in names
            }
            given = questions.latest(row for rows in found.values() for row in rows)
            problem = unclear(event, found, self._answered)
        addressed = related.addressed.lineage if related.addressed is not None else None
        problem = problem or _foreign(event, given)  # first: the others' reasons say what the run asks now
        problem = problem or questions.refusal(event.answers, given, lineage, self._current, addressed)
        return Match(given, problem or _other_graph(event, given))

    def is_asking(self, lineage: str, generation: int) -> bool:
        """Whether this generation of a lineage has a pending question."""
        run = self._asking.get(lineage)
        return run is not None and run.generation == generation

    def asking_run(self, lineage: str) -> UUID:
        """The run that ended with the lineage's pending question."""
        return self._asking[lineage].correlation_id

    def retire_before(self, lineage: str, generation: int, now: datetime) -> None:
        """A lineage starts afresh with this generation: what older ones asked is not asked any more."""
        self._retire(lineage, now, lambda row: row.generation < generation)

    def withdraw(self, lineage: str, generation: int, now: datetime) -> None:
        """The request that repeats this generation's question is cancelled: it is not asked any more."""
        self._asking.pop(lineage, None)
        self._retire(lineage, now, lambda row: row.generation == generation and row.answered_at is None)

    def _retire(self, lineage: str, now: datetime, these: Callable[[QuestionRow], bool]) -> None:
        for rows in self._answered.values():
            rows[:] = [row.retired(now) if row.lineage == lineage and these(row) else row for row in rows]
        self._current[lineage] = [row for row in self._current.get(lineage, ()) if not these(row)]


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
