"""Questions to a person: who may answer which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tests.support.memory_store.state import Question, Run, State
from workflow_events.models import Answer, WorkflowEvent


def latest(questions: Iterable[Question]) -> dict[str, Question]:
    """By id, each as it was asked last: the one that is pending, else that was answered, else that was left."""
    by_weight = sorted(questions, key=lambda q: (q.is_pending, q.given is not None, q.asked_at))
    return {question.id: question for question in by_weight}


def on_thread(state: State, thread_id: str) -> list[Question]:
    """Every question that was asked there."""
    return [question for question in state.questions if question.place.thread_id == thread_id]


def pending_of(state: State, lineage: str, generation: int) -> list[Question]:
    """What a generation asks."""
    return [
        question
        for question in state.questions
        if question.is_pending and (question.place.lineage, question.place.generation) == (lineage, generation)
    ]


def problem(answers: Sequence[Answer], known: dict[str, Question], lineage: str) -> str | None:
    """Why these answers of a lineage cannot be taken."""
    for number, answer in enumerate(answers):
        wrong = _wrong(answer, known.get(answer.interrupt_id), lineage)
        if wrong:
            return f"field 'answers[{number}]': interrupt {answer.interrupt_id!r} {wrong}"
    if len({known[answer.interrupt_id].place.thread_id for answer in answers}) > 1:
        return "field 'answers': they answer several runs"
    return None


def _wrong(answer: Answer, question: Question | None, lineage: str) -> str:
    if question is None:
        return "is not known"
    if question.retired:
        return "is not asked any more"
    if question.given is None or (question.given.lineage, question.given.value) == (lineage, answer.value):
        return ""
    return f"was answered by {question.given.by or 'somebody else'}"


def other_graph(event: WorkflowEvent, known: dict[str, Question], state: State) -> str | None:
    """Why the graph that an answer names is wrong: only the one that asked can be answered."""
    asked_by = state.runs[known[event.answers[0].interrupt_id].asked_by].graph
    return None if event.graph in (None, asked_by) else f"field 'graph': it was {asked_by!r} that asked"


def retire(state: State, these: Callable[[Question], bool]) -> None:
    """Nobody asks them any more."""
    state.questions[:] = [replace(q, retired=True) if these(q) else q for q in state.questions]


def withdraw(state: State, run: Run) -> bool:
    """Nobody asks any more what this run ended with and is still pending; whether anything was."""
    told = [
        q for q in state.questions if q.is_pending and q.place == run.place and run.end and q.asked_at <= run.end.at
    ]
    retire(state, lambda question: question in told)
    return bool(told)


def shuts_out(state: State, run: Run) -> bool:
    """The run's thread asks somebody else something, and this is no answer."""
    if run.place is None or run.answers:
        return False
    asked = on_thread(state, run.place.thread_id)
    return any(question.is_pending and question.place.lineage != run.place.lineage for question in asked)
