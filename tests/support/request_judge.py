"""What a request is to earlier ones, told from Airflow's history; and what becomes of the questions that graphs ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from hypothesis import event
from pydantic import JsonValue

from langgraph_worker.store.port import Decision, RunStatus
from tests.support.airflow_model import Asked, Order
from workflow_events.models import Answer, Attempt

Outcome = set[Decision]
Work = tuple[str, str | None, object]


@dataclass
class Question:
    """One asking. Pending until it is answered (in a checkpoint) or retired: asked again, or left by a fresh start."""

    id: str
    thread: str
    lineage: str
    group: int
    retired: bool = False
    answered_by: str | None = None  # a lineage
    answer: JsonValue = None

    @property
    def pending(self) -> bool:
        return not self.retired and self.answered_by is None


class Questions:
    """All that was asked, in order."""

    def __init__(self) -> None:
        self.all: list[Question] = []

    def ask(self, thread: str, lineage: str, group: int, ids: Sequence[str]) -> None:
        """What the thread asked before is asked by these, or not at all."""
        for question in self.pending(thread):
            question.retired = True
        self.all += [Question(name, thread, lineage, group) for name in ids]

    def answered(self, thread: str, name: str, lineage: str, value: JsonValue) -> None:
        """A checkpoint holds this answer."""
        [question] = [one for one in self.pending(thread) if one.id == name]
        question.answered_by, question.answer = lineage, value

    def retire(self, lineage: str) -> None:
        """It was started afresh."""
        for question in self.all:
            question.retired = question.retired or question.lineage == lineage

    def pending(self, thread: str) -> list[Question]:
        return [one for one in self.all if one.pending and one.thread == thread]

    def asked_by(self, lineage: str, group: int) -> list[str]:
        """The ids that a lineage's present logical run waits for."""
        return [one.id for one in self.all if one.pending and (one.lineage, one.group) == (lineage, group)]

    def answers(self, thread: str) -> set[str]:
        """The ids whose answers are in the thread's checkpoints, and which were not asked again since."""
        found = [self.find(name) for name in {one.id for one in self.all if one.thread == thread}]
        return {one.id for one in found if one is not None and not one.pending and one.answered_by is not None}

    def find(self, name: str) -> Question | None:
        """As the id stands: pending, else answered, else retired."""
        found = [one for one in self.all if one.id == name]
        return max(found, key=lambda one: (one.pending, one.answered_by is not None, self.all.index(one)), default=None)

    def problem(self, answers: Sequence[Answer], lineage: str) -> str:
        """Why these answers may not be given; empty if they may."""
        found = [self.find(answer.interrupt_id) for answer in answers]
        for answer, question in zip(answers, found, strict=True):
            if question is None:
                return "not asked"
            if question.retired:
                return "retired"
            own = question.answered_by == lineage and question.answer == answer.value
            if not question.pending and not own:
                return "answered otherwise"
        return "of two threads" if len({one.thread for one in found if one}) > 1 else ""


@dataclass
class Place:
    """A lineage: the last of its requests that was not late or refused."""

    last: Asked
    work: Work
    group: int


class Judge:
    """Says what the store may decide, and keeps what it has decided.

    :ivar group: of each request, which others it may share a logical run with: all that were decided to go on with it.
    :ivar asked_again: of requests that are to be answered with questions, the ids.
    :ivar cancelled: the requests whose cancels somebody has applied, to come or not.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self.accepted: dict[UUID, Asked] = {}
        self.group: dict[UUID, int] = {}
        self.asked_again: dict[UUID, list[str]] = {}
        self.cancelled: set[UUID] = set()
        self._newest: dict[str, Order] = {}
        self._announced: dict[str, Order] = {}
        self._lineages: dict[str, Place] = {}
        self._ended: dict[UUID, RunStatus] = {}
        self._of_task: defaultdict[str, list[Asked]] = defaultdict(list)

    def ended(self, of: UUID, status: RunStatus) -> None:
        self._ended[of] = status

    def take(self, asked: Asked, decision: Decision) -> None:
        """A request was accepted."""
        would_be, why = self._allowed(asked)
        allowed = {self._unless_cancelled(asked, one) for one in would_be}
        assert decision in allowed, f"{asked} is {decision.value}, not {'/'.join(allowed)}: {why}"
        if decision is Decision.DUPLICATE:
            return
        self.accepted[asked.id] = asked
        if asked.attempt is not None and decision is not Decision.LATE:
            self._supersede(asked, asked.attempt.task)
        if asked.attempt is not None:
            self._of_task[asked.attempt.task].append(asked)
        match decision:
            case Decision.LATE:
                self._ended[asked.id] = RunStatus.CANCELLED
            case Decision.REFUSED:
                self._ended[asked.id] = RunStatus.FAILED
            case Decision.CANCELLED:
                [one] = would_be
                self._place(asked, Decision.RESUMED if one is Decision.ANSWERED else one)
                self._ended[asked.id] = RunStatus.CANCELLED
            case _:
                self._place(asked, decision)

    def announce(self, asked: Asked) -> set[UUID]:
        """Somebody has heard of an attempt that may be still to come.

        :returns: the unfinished requests that it supersedes.
        """
        assert asked.attempt is not None
        task = asked.attempt.task
        if asked.order <= self._newest.get(task, (0, 0)):
            return set()
        self._announced[task] = asked.order
        older = {one.id for one in self._of_task[task] if one.id not in self._ended}
        self._supersede(asked, task)
        return older

    def rules(self, asked: Asked) -> bool:
        """Whether no newer attempt of its task was accepted or announced. Agents of one attempt do not replace each
        other.
        """
        attempt = asked.attempt
        if attempt is None:
            return True
        if self._announced.get(attempt.task, asked.order) > asked.order:
            return False
        others = self._of_task[attempt.task]
        newer = [one for one in others if one.order > asked.order]
        return all(one.order[0] == asked.order[0] and one.lineage != asked.lineage for one in newer)

    def _unless_cancelled(self, asked: Asked, decision: Decision) -> Decision:
        ends_anyhow = decision in (Decision.DUPLICATE, Decision.LATE, Decision.REFUSED)
        return decision if ends_anyhow or asked.id not in self.cancelled else Decision.CANCELLED

    def said(self, of: UUID) -> object:
        return self._work(self.accepted[of])[2]

    def _allowed(self, asked: Asked) -> tuple[Outcome, str]:
        attempt = asked.attempt
        if asked.id in self.accepted:
            return {Decision.DUPLICATE}, "it was accepted before"
        if attempt is not None and self._newest.get(attempt.task, (0, 0)) > asked.order:
            return {Decision.LATE}, "a newer attempt was accepted before it"
        allowed, why = self._continues(asked, attempt) if attempt else ({Decision.FRESH}, "plain")
        if not asked.event.answers:
            return allowed, why
        problem = self._questions.problem(asked.event.answers, asked.lineage)
        answering = Decision.REFUSED if problem else Decision.ANSWER
        as_answer = {one if one is Decision.ANSWERED else answering for one in allowed}
        return as_answer, f"{why}; {problem or 'to be answered'}"

    def _continues(self, asked: Asked, attempt: Attempt) -> tuple[Outcome, str]:
        place = self._lineages.get(asked.lineage)
        if place is None:
            return {Decision.FRESH}, "the first of its lineage"
        if asked.event.answers and asked.order == place.last.order:
            return {Decision.ANSWER}, "an answer of the same attempt"
        if self._work(asked) != place.work:
            return {Decision.FRESH}, f"other work than {place.work}"
        is_clear = asked.epoch != place.last.epoch
        allowed = {self._outcome(asked, attempt, place, is_clear)}
        if asked.order[0] != place.last.order[0] and is_clear == _seems_retry(attempt, place.last.attempt):
            # Airflow does not let a worker see what it is (docs/explanation/limits.md).
            event(f"{'clear looks like retry' if is_clear else 'retry looks like clear'}: {asked.hidden or 'retries'}")
            allowed.add(self._outcome(asked, attempt, place, not is_clear))
        return allowed, f"a {'clear' if is_clear else 'retry'} of {place.last}"

    def _outcome(self, asked: Asked, attempt: Attempt, place: Place, is_clear: bool) -> Decision:
        status = self._ended.get(place.last.id)
        succeeded = status is RunStatus.COMPLETED
        if is_clear and (attempt.on_clear == "restart" or succeeded):
            return Decision.FRESH
        again = asked.order == place.last.order
        if not is_clear and not again and attempt.on_retry == "restart" and not succeeded:
            return Decision.FRESH
        asks = status is RunStatus.INTERRUPTED and self._questions.asked_by(asked.lineage, place.group)
        return Decision.ANSWERED if succeeded or asks else Decision.RESUMED

    def _supersede(self, asked: Asked, task: str) -> None:
        if asked.order <= self._newest.get(task, (0, 0)):
            return
        self._newest[task] = asked.order
        for older in self._of_task[task]:
            self._ended.setdefault(older.id, RunStatus.CANCELLED)

    def _place(self, asked: Asked, decision: Decision) -> None:
        place = self._lineages.get(asked.lineage)
        if decision is Decision.ANSWER:
            question = self._questions.find(asked.event.answers[0].interrupt_id)
            assert question is not None
            self.group[asked.id] = question.group
            own = place is not None and question.lineage == asked.lineage
            work = place.work if own and place else self._work(asked)
            self._lineages[asked.lineage] = Place(asked, work, question.group)
            return
        if decision is Decision.FRESH or place is None:
            self._questions.retire(asked.lineage)
            group = len(self.accepted)
        else:
            group = place.group
        if decision is Decision.ANSWERED and place is not None:
            self._ended[asked.id] = self._ended[place.last.id]
            if self._ended[asked.id] is RunStatus.INTERRUPTED:
                self.asked_again[asked.id] = self._questions.asked_by(asked.lineage, group)
        self.group[asked.id] = group
        self._lineages[asked.lineage] = Place(asked, self._work(asked), group)

    @staticmethod
    def _work(asked: Asked) -> Work:
        said = {one.interrupt_id: one.value for one in asked.event.answers} or asked.event.payload.data
        return asked.request.graph, asked.event.thread_id, said


def _seems_retry(attempt: Attempt, last: Attempt | None) -> bool:
    """What Airflow's numbers say, of two attempts with different ids."""
    assert last is not None
    unmoved = (attempt.run_start, attempt.max_tries) == (last.run_start, last.max_tries)
    return unmoved and attempt.try_number > last.try_number and not attempt.returned
