"""One graph, and what has become of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.random_graphs.answering import answer_to, to_answer
from tests.random_graphs.circumstances import TAKEN_BY_NONE, Circumstances
from tests.random_graphs.description import Flow, Graph
from tests.random_graphs.stock import INPUT, Expected
from tests.support.run_store import answer, attempt, event
from tests.support.ti_ids import ti_id
from workflow_events.models import Attempt, WorkflowEvent
from workflow_events.results import ResultStatus, WorkflowResultEvent


class WrongError(AssertionError):
    """A promise is broken; the text says by which graph, and how to see it again.

    :ivar case: the graph's, where it is known.
    """

    def __init__(self, text: str, case: Case | None = None) -> None:
        super().__init__(text)
        self.case = case


@dataclass
class Case:
    """See the module.

    :ivar talk: which request of its conversation it is at, from 0.
    :ivar turns: as :attr:`Expected.turns`.
    :ivar is_over: it has its last result.
    """

    name: str
    part: Graph | Flow
    expected: Expected
    circumstances: Circumstances = field(default_factory=Circumstances)
    talk: int = 0
    try_number: int = 1
    round: int = 0
    turns: list[list[str] | None] = field(default_factory=list)
    result: WorkflowResultEvent | None = None
    is_over: bool = False
    asked: dict[str, str] = field(default_factory=dict)

    def event(self) -> WorkflowEvent:
        """The request of this turn."""
        if self.asked:
            chosen = to_answer(sorted(self.asked), len(self.turns) - 1)
            given = {self.asked[question]: answer_to(question) for question in chosen}
            return answer(self._attempt(self.try_number), given, round=self.round, graph=self.name)
        return self._first(self.try_number)

    def retry(self) -> WorkflowEvent | None:
        """What Airflow sends if this turn fails."""
        return self._first(2) if self.try_number == 1 else None

    def _first(self, number: int) -> WorkflowEvent:
        data: dict[str, Any] = INPUT | ({"for": TAKEN_BY_NONE} if self.circumstances.is_refused else {})
        thread = "talk" if self.circumstances.talks > 1 else None
        return event(self._attempt(number), data=data, graph=self.name, thread_id=thread)

    def _attempt(self, number: int) -> Attempt:
        """Each talk is another task's."""
        task = f"{self.name} {self.talk}"
        salt = int(self.name.rpartition("-")[2])
        return attempt(
            number,
            task=hashlib.sha256(task.encode()).hexdigest(),
            id=ti_id(10_000 * (self.talk + 1) + 1_000 * number, salt + 1),
        )

    def take(self, results: Mapping[str, Sequence[WorkflowResultEvent]]) -> None:
        """The results of this turn."""
        last = self._only(results, self.event().event_id)
        again = self.retry()
        if last.status is ResultStatus.FAILURE and again is not None and str(again.event_id) in results:
            self.turns.append(None)
            self.try_number, self.asked, self.round = 2, {}, 0
            last = self._only(results, again.event_id)
        self.result, self.asked = last, {}
        if last.status is ResultStatus.INTERRUPTED:
            self.asked = {str(one.value): one.id for one in last.interrupts}
            self.round += 1
        elif last.status is ResultStatus.SUCCESS and self.talk + 1 < self.circumstances.talks:
            self.talk, self.try_number, self.round = self.talk + 1, 1, 0
        else:
            self.is_over = True
            return
        self.turns.append(sorted(self.asked))

    def _only(self, results: Mapping[str, Sequence[WorkflowResultEvent]], event_id: UUID) -> WorkflowResultEvent:
        found = results.get(str(event_id), ())
        if len(found) != 1:
            raise WrongError(f"{self.name}: request {event_id} has {len(found)} different results, not one: {found}")
        return found[0]
