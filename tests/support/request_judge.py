"""The class of a request, judged from Airflow's history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from hypothesis import event

from langgraph_worker.domain.models import Decision, RunStatus
from tests.support.airflow_model import Asked
from tests.support.asked_questions import Question, Questions, as_it_stands, problem
from workflow_events.models import Attempt

Outcome = set[Decision]
Work = tuple[str, str | None, object]


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
    :ivar cancelled: the requests whose cancels were applied, whether they have come or not.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self.accepted: dict[UUID, Asked] = {}
        self.group: dict[UUID, int] = {}
        self.asked_again: dict[UUID, list[str]] = {}
        self.cancelled: set[UUID] = set()
        self.pruned: dict[UUID, Asked] = {}
        self._groups = 0
        self._given: dict[UUID, dict[str, Question]] = {}
        self._shown: dict[UUID, list[Question]] = {}
        self._newest: dict[str, int] = {}
        self._announced: dict[str, int] = {}
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
        """A worker has heard of an attempt whose request may still be to come.

        :returns: the unfinished requests that it supersedes.
        """
        assert asked.attempt is not None
        task = asked.attempt.task
        if asked.order[0] <= self._newest.get(task, 0):
            return set()
        self._announced[task] = asked.order[0]
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
        if self._announced.get(attempt.task, 0) > asked.order[0]:
            return False
        others = self._of_task[attempt.task]
        newer = [one for one in others if one.order > asked.order]
        return all(one.order[0] == asked.order[0] and one.lineage != asked.lineage for one in newer)

    def is_left(self, lineage: str, of: UUID) -> bool:
        """Whether a lineage has started afresh since the logical run that this request continues."""
        place = self._lineages.get(lineage)
        return place is not None and place.group != self.group[of]

    def forget(self, gone: Collection[UUID], tasks: Collection[str]) -> None:
        """These runs were pruned: their ids are still known, and nothing else of them.

        :param tasks: the tasks of which the store still knows the newest attempt.
        """
        self.pruned |= {of: self.accepted.pop(of) for of in gone}
        self._questions.forget(gone)
        self._lineages = {name: place for name, place in self._lineages.items() if place.last.id not in gone}
        for task, requests in self._of_task.items():
            self._of_task[task] = [one for one in requests if one.id not in gone]
        needed = {task for task, requests in self._of_task.items() if requests}
        assert needed <= set(tasks) <= self._newest.keys(), "a task was forgotten before its runs, or after them"
        self._newest = {task: born for task, born in self._newest.items() if task in tasks}
        self._announced = {task: born for task, born in self._announced.items() if task in tasks}

    def find(self, of: UUID) -> Asked:
        """A request that was ever accepted."""
        return self.accepted.get(of) or self.pruned[of]

    def _unless_cancelled(self, asked: Asked, decision: Decision) -> Decision:
        ends_anyhow = decision in (Decision.DUPLICATE, Decision.LATE, Decision.REFUSED)
        return decision if ends_anyhow or asked.id not in self.cancelled else Decision.CANCELLED

    def problem(self, asked: Asked) -> str:
        """Why the answers of a request may not be given; empty if they may, or if there are none."""
        return problem(asked.event.answers, asked.lineage, self._named(asked))

    def given_to(self, asked: Asked) -> dict[str, Question]:
        """The questions that a request's answers are given to, by id."""
        found = {name: as_it_stands(askings) for name, askings in self._named(asked).items()}
        return {name: one for name, one in found.items() if one is not None}

    def _named(self, asked: Asked) -> dict[str, list[Question]]:
        """As they were accepted; before, as those of the request whose answers it repeats, else as they say."""
        place = self._lineages.get(asked.lineage)
        if asked.id in self._given:
            return self._questions.bound(asked.event, self._given[asked.id])
        repeats = place is not None and place.last.order != asked.order and place.work == self._work(asked)
        if repeats and place is not None and asked.event.answers:
            return self._questions.bound(asked.event, self._given[place.last.id])
        to = asked.event.answers_to
        return self._questions.named(asked.event, asked.lineage, self._shown.get(to, []) if to else [])

    def said(self, of: UUID) -> object:
        return self._work(self.find(of))[2]

    def _allowed(self, asked: Asked) -> tuple[Outcome, str]:
        attempt = asked.attempt
        if asked.id in self.accepted or asked.id in self.pruned:
            return {Decision.DUPLICATE}, "it was accepted before"
        if attempt is not None and self._newest.get(attempt.task, 0) > asked.order[0]:
            return {Decision.LATE}, "a newer attempt was accepted before it"
        if self._replays(asked) < 0:
            return {Decision.LATE}, "a later replay was accepted before it"
        allowed, why = self._continues(asked, attempt) if attempt else ({Decision.FRESH}, "plain")
        if not asked.event.answers:
            return allowed, why
        refused = self.problem(asked)
        answering = Decision.REFUSED if refused else Decision.ANSWER
        as_answer = {one if one is Decision.ANSWERED else answering for one in allowed}
        return as_answer, f"{why}; {refused or 'to be answered'}"

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

    def _replays(self, asked: Asked) -> int:
        """How many replays of one attempt lie between a request and the last of its agent; below 0: it is older."""
        place = self._lineages.get(asked.lineage)
        same = place is not None and place.last.order[0] == asked.order[0]
        return asked.order[1] - place.last.order[1] if place is not None and same else 0

    def _supersede(self, asked: Asked, task: str) -> None:
        """A newer attempt ends all others of its task; a replay, what it replays."""
        is_newer = asked.order[0] > self._newest.get(task, 0)
        if is_newer:
            self._newest[task] = asked.order[0]
        for older in self._of_task[task]:
            if is_newer or (older.lineage == asked.lineage and older.order < asked.order):
                self._ended.setdefault(older.id, RunStatus.CANCELLED)

    def _place(self, asked: Asked, decision: Decision) -> None:
        place = self._lineages.get(asked.lineage)
        if decision is Decision.ANSWER:
            self._given[asked.id] = self.given_to(asked)
            question = self._given[asked.id][asked.event.answers[0].interrupt_id]
            self.group[asked.id] = question.group
            own = place is not None and question.lineage == asked.lineage
            work = place.work if own and place else self._work(asked)
            self._lineages[asked.lineage] = Place(asked, work, question.group)
            return
        if decision is Decision.FRESH or place is None:
            self._questions.retire(asked.lineage)
            self._groups += 1
            group = self._groups
        else:
            group = place.group
        if decision is Decision.ANSWERED and place is not None:
            self._ended[asked.id] = self._ended[place.last.id]
            if self._ended[asked.id] is RunStatus.INTERRUPTED:
                self._shown[asked.id] = self._questions.asked_by(asked.lineage, group)
                self.asked_again[asked.id] = [one.id for one in self._shown[asked.id]]
        if place is not None and asked.event.answers:
            self._given[asked.id] = self._given[place.last.id]
        self.group[asked.id] = group
        self._lineages[asked.lineage] = Place(asked, self._work(asked), group)

    @staticmethod
    def _work(asked: Asked) -> Work:
        answers = {one.interrupt_id: one.value for one in asked.event.answers}
        said = (answers, asked.event.answers_to) if answers else asked.event.payload.data
        return asked.request.graph, asked.event.thread_id, said


def _seems_retry(attempt: Attempt, last: Attempt | None) -> bool:
    """What Airflow's numbers say, of two attempts with different ids."""
    assert last is not None
    unmoved = (attempt.run_start, attempt.max_tries) == (last.run_start, last.max_tries)
    return unmoved and attempt.try_number > last.try_number and not attempt.returned
