"""What graphs ask in a history, and what happens to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import JsonValue

from workflow_events.models import Answer


@dataclass
class Question:
    """One asking. Pending until it is answered (in a checkpoint) or retired: asked again, or left by a fresh start."""

    id: str
    thread: str
    lineage: str
    group: int
    asked_by: UUID
    asking: int
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

    def ask(self, thread: str, lineage: str, group: int, asked_by: UUID, ids: Sequence[str]) -> None:
        """What the thread asked before is asked by these, or not at all."""
        for question in self.pending(thread):
            question.retired = True
        answered = [one.id for one in self.all if one.group == group and one.answered_by is not None]
        self.all += [Question(name, thread, lineage, group, asked_by, answered.count(name)) for name in ids]

    def give_up(self, thread: str, group: int) -> None:
        """Another run has written to the thread: no answer can reach what this logical run asks."""
        for question in self.pending(thread):
            question.retired = question.group == group

    def forget(self, gone: Collection[UUID]) -> None:
        """These runs were pruned."""
        self.all = [one for one in self.all if one.asked_by not in gone]

    def answered(self, thread: str, name: str, lineage: str, value: JsonValue) -> None:
        """A checkpoint holds this answer. What was retired meanwhile, because its task was cleared, stays so."""
        for question in [one for one in self.pending(thread) if one.id == name]:
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

    def find(self, name: str, asking: int | None = None) -> Question | None:
        """As the id stands, or one asking by it: pending, else answered, else retired.

        :param asking: how many by this id were answered before it.
        """
        found = [one for one in self.all if one.id == name and asking in (None, one.asking)]
        return max(found, key=lambda one: (one.pending, one.answered_by is not None, self.all.index(one)), default=None)

    def askings(self, answers: Sequence[Answer]) -> dict[str, int]:
        """The askings that answers would be given to now, by id."""
        found = [self.find(answer.interrupt_id) for answer in answers]
        return {one.id: one.asking for one in found if one is not None}

    def problem(self, answers: Sequence[Answer], lineage: str, askings: Mapping[str, int]) -> str:
        """Why these answers may not be given; empty if they may.

        :param askings: those that they belong to.
        """
        found = [self.find(answer.interrupt_id, askings.get(answer.interrupt_id)) for answer in answers]
        for answer, question in zip(answers, found, strict=True):
            if question is None:
                return "not asked"
            if question.retired:
                return "retired"
            own = question.answered_by == lineage and question.answer == answer.value
            if not question.pending and not own:
                return "answered otherwise"
        return "of two threads" if len({one.thread for one in found if one}) > 1 else ""
