"""The smallest graph: one node that says what it was asked to do."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class EchoInput(TypedDict):
    """`task`: any text."""

    task: str


class EchoState(EchoInput, total=False):
    """The input, and `answer` once the node has run."""

    answer: str


def answer(state: EchoState) -> EchoState:
    """Repeat the task. A missing or non-text `task` raises ValueError."""
    task = state.get("task")
    if not isinstance(task, str):
        raise ValueError(f"task: {task!r} is not a text; send {{'task': 'some text'}}")
    return {"task": task, "answer": f"echo: {task}"}


graph = (
    StateGraph(EchoState, input_schema=EchoInput)
    .add_node("answer", answer)
    .add_edge(START, "answer")
    .add_edge("answer", END)
    .compile(name="echo")
)
