"""A graph with a memory of its thread: each turn is asked one more question, and sees all that was said before."""

from __future__ import annotations

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from typing_extensions import TypedDict


class Turn(TypedDict):
    """What a turn returns. The messages stay on the thread.

    `answer`: to the question of this turn. `turn`: its number, from 1. `asked_before`: the questions of the turns
    before, the oldest first.
    """

    answer: str
    turn: int
    asked_before: list[str]


class ConversationState(MessagesState, Turn):
    """All messages of the thread, and what its last turn has returned."""


def reply(state: MessagesState) -> dict[str, object]:
    """Answer the last question. Where a real graph asks a chat model with `state["messages"]`, this one counts."""
    *before, question = [str(message.content) for message in state["messages"] if isinstance(message, HumanMessage)]
    answer = f"You ask {question!r}."
    if before:
        answer += f" Before that you asked {before[-1]!r}."
    return {"messages": [AIMessage(answer)], "answer": answer, "turn": len(before) + 1, "asked_before": before}


graph = (
    StateGraph(ConversationState, input_schema=MessagesState, output_schema=Turn)
    .add_node("reply", reply)
    .add_edge(START, "reply")
    .add_edge("reply", END)
    .compile(name="conversation")
)
