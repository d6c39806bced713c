"""Questions to a person: which are pending, and who may answer them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from langgraph_worker.domain.models import Decision
from langgraph_worker.domain.question_refusals import LEFT, UNKNOWN, asked_now
from langgraph_worker.domain.question_refusals import answered as answered_once
from langgraph_worker.testing.memory_store.state import Question, Run, State
from workflow_events.models import Answer, WorkflowEvent


def latest(questions: Iterable[Question]) -> dict[str, Question]:
    """The questions by id. One that was asked more than once counts as pending, answered or last asked."""
    in_order = sorted(questions, key=lambda q: (q.is_pending, q.given is not None, q.asked_at))
    return {question.id: question for question in in_order}


def given_to(questions: Iterable[Question], askings: Mapping[str, int]) -> dict[str, Question]:
    """The questions that answers were given to: of each id the asking with this number, else the latest."""
    return latest(q for q in questions if askings.get(q.id, q.asking) == q.asking)


def answered(state: State, event: WorkflowEvent, lineage: str, repeated: Run | None) -> dict[str, Question]:
    """The questions that an event answers: those of the answers that it repeats, else those that it names."""
    if repeated is not None:
        named = [question for answer in event.answers for question in _by_id(state, answer.interrupt_id)]
        return given_to(of_run(named, repeated), repeated.askings)
    return latest(q for answer in event.answers for q in _named(state, event, answer.interrupt_id, lineage))


def unclear(state: State, event: WorkflowEvent, lineage: str) -> str | None:
    """Why it is not clear which run an answer is for."""
    for number, answer in enumerate(event.answers):
        name = answer.interrupt_id
        named = _named(state, event, name, lineage)
        if len({q.place.lineage for q in named}) > 1:
            return (
                f"field 'answers[{number}]': interrupt {name!r} was asked by several runs of this DAG run. "
                "Set 'answers_to'"
            )
        if named or not _by_id(state, name):
            continue
        if event.answers_to is not None:
            return f"field 'answers_to': request {event.answers_to} asked no question by the id {name!r}"
        return (
            f"field 'answers[{number}]': interrupt {name!r} was asked, but not by DAG run {event.workflow_run_id!r} of "
            f"{event.workflow_id!r}. Set 'answers_to'"
        )
    return None


def foreign(event: WorkflowEvent, known: dict[str, Question]) -> str | None:
    """Why another deployment's question cannot be answered."""
    names = [name for name, question in known.items() if not _is_open_to(question, event)]
    return f"field 'attempt.deployment': interrupt {names[0]!r} is another deployment's" if names else None


def _by_id(state: State, name: str) -> list[Question]:
    return [question for question in state.questions if question.id == name]


def _named(state: State, event: WorkflowEvent, name: str, lineage: str) -> list[Question]:
    """The questions by an id that an event means: of its ``answers_to``, else its lineage's, else its DAG run's."""
    known = _by_id(state, name)
    if event.answers_to is not None:
        named = _addressed(state, known, event.answers_to)
    else:
        named = [q for q in known if q.place.lineage == lineage] or [
            q for q in known if _dag_run(state.runs[q.asked_by]) == (event.workflow_id, event.workflow_run_id)
        ]
    return [question for question in named if _is_open_to(question, event)] or named


def _addressed(state: State, known: list[Question], request: UUID) -> list[Question]:
    asked = [question for question in known if question.asked_by == request]
    run = state.runs.get(request)
    if not asked and run is not None and run.decision is Decision.ANSWERED:
        asked = [q for q in known if q.place == run.place and q.asked_at <= run.accepted_at][-1:]
    return [q for q in known if any((q.place, q.asking) == (one.place, one.asking) for one in asked)]


def _dag_run(run: Run) -> tuple[str, str]:
    return run.workflow_id, run.workflow_run_id


def _is_open_to(question: Question, event: WorkflowEvent) -> bool:
    return event.attempt is None or question.place.deployment in (None, event.attempt.deployment)


def of_run(questions: Iterable[Question], run: Run) -> list[Question]:
    """Those that a run's logical run has asked."""
    return [question for question in questions if question.place.logical_run == run.placed.logical_run]


def on_thread(state: State, thread_id: str) -> list[Question]:
    """Every question of a thread."""
    return [question for question in state.questions if question.place.thread_id == thread_id]


def pending_of(state: State, lineage: str, generation: int) -> list[Question]:
    """The pending questions of a generation."""
    return [
        question
        for question in state.questions
        if question.is_pending and (question.place.lineage, question.place.generation) == (lineage, generation)
    ]


def refusal(
    state: State, answers: Sequence[Answer], known: dict[str, Question], lineage: str, addressed: str | None = None
) -> str | None:
    """Why these answers of a lineage cannot be taken.

    :param addressed: the lineage of the run that they name.
    """
    for number, answer in enumerate(answers):
        question = known.get(answer.interrupt_id)
        problem = _problem(answer, question, lineage)
        if problem:
            asked = question.place.lineage if question is not None else addressed or lineage
            return f"field 'answers[{number}]': interrupt {answer.interrupt_id!r} {problem}{_now(state, asked)}"
    if len({known[answer.interrupt_id].place.thread_id for answer in answers}) > 1:
        return "field 'answers': they answer several runs"
    return None


def _now(state: State, lineage: str) -> str:
    pending = [q for q in state.questions if q.is_pending and q.place.lineage == lineage]
    in_order = sorted(pending, key=lambda q: (q.asked_at, q.id))
    return asked_now([(question.id, question.asked_by) for question in in_order])


def _problem(answer: Answer, question: Question | None, lineage: str) -> str:
    if question is None:
        return UNKNOWN
    if question.retired:
        return LEFT
    given = question.given
    if given is None or (given.lineage, given.value) == (lineage, answer.value):
        return ""
    return answered_once(given.at, given.by, given.request)


def other_graph(event: WorkflowEvent, known: dict[str, Question], state: State) -> str | None:
    """Why the graph that an answer names is wrong: only the one that asked can be answered."""
    asked_by = state.runs[known[event.answers[0].interrupt_id].asked_by].graph
    return None if event.graph in (None, asked_by) else f"field 'graph': it was {asked_by!r} that asked"


def retire(state: State, these: Callable[[Question], bool]) -> None:
    """Retire these questions."""
    state.questions[:] = [replace(q, retired=True) if these(q) else q for q in state.questions]


def withdraw(state: State, run: Run) -> bool:
    """Retire the pending questions that this run ended with; return whether there were any."""
    pending = [
        q for q in state.questions if q.is_pending and q.place == run.place and run.end and q.asked_at <= run.end.at
    ]
    retire(state, lambda question: question in pending)
    return bool(pending)


def is_held_up(state: State, run: Run) -> bool:
    """Whether the run's thread has a pending question of another lineage, and the run is no answer."""
    if run.place is None or run.is_answer:
        return False
    thread = on_thread(state, run.place.thread_id)
    return any(question.is_pending and question.place.lineage != run.place.lineage for question in thread)
