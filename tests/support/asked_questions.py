"""What graphs ask in a history, and what happens to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import JsonValue

from workflow_events.models import Answer, WorkflowEvent


@dataclass
class Question:
    """One asking. Pending until it is answered (in a checkpoint) or retired: asked again, or left by a fresh start."""

    id: str
    thread: str
    lineage: str
    group: int
    asked_by: UUID
    asking: int
    dag: str  # of the request that asked
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

    def ask(self, thread: str, lineage: str, group: int, event: WorkflowEvent, ids: Sequence[str]) -> None:
        """What the thread asked before is asked by these, or not at all."""
        asked_by, dag = event.event_id, event.workflow_id
        for question in self.pending(thread):
            question.retired = True
        answered = [one.id for one in self.all if one.group == group and one.answered_by is not None]
        self.all += [Question(name, thread, lineage, group, asked_by, answered.count(name), dag) for name in ids]

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

    def asked_by(self, lineage: str, group: int) -> list[Question]:
        """What a lineage's present logical run waits for."""
        return [one for one in self.all if one.pending and (one.lineage, one.group) == (lineage, group)]

    def answers(self, group: int) -> set[str]:
        """The ids whose answers to a logical run are in its checkpoints, and which were not asked again since."""
        asked = [one for one in self.all if one.group == group]
        found = [as_it_stands([one for one in asked if one.id == name]) for name in {one.id for one in asked}]
        return {one.id for one in found if one is not None and not one.pending and one.answered_by is not None}

    def named(self, event: WorkflowEvent, lineage: str, shown: Sequence[Question]) -> dict[str, list[Question]]:
        """The questions that an event's answers name, by id, whatever became of them.

        :param shown: those that the result of its ``answers_to`` repeated.
        """
        found = {}
        for name in [answer.interrupt_id for answer in event.answers]:
            known = [one for one in self.all if one.id == name]
            if event.answers_to is not None:
                asked = [one for one in known if one.asked_by == event.answers_to] or shown
                askings = {(one.group, one.asking) for one in asked if one.id == name and one in self.all}
                found[name] = [one for one in known if (one.group, one.asking) in askings]
            else:
                own = [one for one in known if one.lineage == lineage]
                found[name] = own or [one for one in known if one.dag == event.workflow_id]
        return found

    def bound(self, event: WorkflowEvent, to: Mapping[str, Question]) -> dict[str, list[Question]]:
        """The questions of the same askings as these, by id."""
        return {
            answer.interrupt_id: [
                one
                for one in self.all
                if (one.id, one.group, one.asking) == (answer.interrupt_id, asked.group, asked.asking)
            ]
            for answer in event.answers
            if (asked := to[answer.interrupt_id])
        }


def as_it_stands(askings: Sequence[Question]) -> Question | None:
    """The one of several askings, in their order, that counts: pending, else answered, else retired."""
    in_order = list(enumerate(askings))
    found = max(in_order, key=lambda one: (one[1].pending, one[1].answered_by is not None, one[0]), default=None)
    return found[1] if found else None


def problem(answers: Sequence[Answer], lineage: str, named: Mapping[str, Sequence[Question]]) -> str:
    """Why these answers may not be given to what they name; empty if they may."""
    for answer in answers:
        askings = named[answer.interrupt_id]
        if len({one.lineage for one in askings}) > 1:
            return "asked by several"
        question = as_it_stands(askings)
        if question is None:
            return "not asked"
        if question.retired:
            return "retired"
        own = question.answered_by == lineage and question.answer == answer.value
        if not question.pending and not own:
            return "answered otherwise"
    return "of two threads" if len({one.thread for askings in named.values() for one in askings}) > 1 else ""
