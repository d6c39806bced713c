"""A graph that asks a person: it says what it would buy, and waits for an answer."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class ApprovalInput(TypedDict):
    """`order`: what would be bought, any text."""

    order: str


class ApprovalState(ApprovalInput, total=False):
    """The input, and once a person has answered `decision`, which is "bought" or "not bought"."""

    decision: str


def ask(state: ApprovalState) -> ApprovalState:
    """Ask whether to buy. The answer "yes" buys, any other does not."""
    answer = interrupt({"question": f"Buy {state['order']}?", "answers": ["yes", "no"]})
    return {"order": state["order"], "decision": "bought" if answer == "yes" else "not bought"}


graph = (
    StateGraph(ApprovalState, input_schema=ApprovalInput)
    .add_node("ask", ask)
    .add_edge(START, "ask")
    .add_edge("ask", END)
    .compile(name="approval")
)
