"""Three small agents of a newsroom, and the one that routes between them. None of them asks a model."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class Topic(TypedDict):
    """`topic`: any text."""

    topic: str


class Research(Topic, total=False):
    """The input, and `facts` about it."""

    facts: list[str]


class Draft(Research, total=False):
    """`topic` and `facts`, and the `text` that is made of them."""

    text: str


class Reviewed(TypedDict, total=False):
    """`text`, and how many `words` it has."""

    text: str
    words: int


class Desk(TypedDict, total=False):
    """What an orchestrator is given: the `topic`, the `agents` and the `results` so far."""

    topic: str
    agents: list[dict[str, Any]]
    results: list[dict[str, Any]]


class Decision(TypedDict, total=False):
    """What it answers: the `next` agent and its `input`."""

    next: str
    input: dict[str, Any]


class DeskState(Desk, Decision, total=False):
    """Both."""


def find_facts(state: Research) -> Research:
    """Collect facts."""
    return {"topic": state["topic"], "facts": [f"{state['topic']} is in the news", f"nobody knows {state['topic']}"]}


def write_text(state: Draft) -> Draft:
    """Make a text of the facts."""
    return {"topic": state["topic"], "text": f"{'. '.join(state['facts'])}."}


def count_words(state: Reviewed) -> Reviewed:
    """Count the words."""
    return {"text": state["text"], "words": len(state["text"].split())}


def choose(state: DeskState) -> DeskState:
    """Name the first agent that has not answered, and give it what the one before it found out."""
    results = state["results"]
    answered = {one["agent"] for one in results}
    waiting = [agent["name"] for agent in state["agents"] if agent["name"] not in answered]
    if not waiting:
        return {"next": "FINISH"}
    return {"next": waiting[0], "input": results[-1]["result"] if results else {"topic": state["topic"]}}


researcher = (
    StateGraph(Research, input_schema=Topic)
    .add_node("find_facts", find_facts)
    .add_edge(START, "find_facts")
    .add_edge("find_facts", END)
    .compile(name="researcher")
)
writer = (
    StateGraph(Draft, input_schema=Research)
    .add_node("write_text", write_text)
    .add_edge(START, "write_text")
    .add_edge("write_text", END)
    .compile(name="writer")
)
reviewer = (
    StateGraph(Reviewed)
    .add_node("count_words", count_words)
    .add_edge(START, "count_words")
    .add_edge("count_words", END)
    .compile(name="reviewer")
)
editor = (
    StateGraph(DeskState, input_schema=Desk, output_schema=Decision)
    .add_node("choose", choose)
    .add_edge(START, "choose")
    .add_edge("choose", END)
    .compile(name="editor")
)
