"""A graph that buys only what a person has approved: as it is, with other numbers, or not at all.

It asks in the form of LangChain's human-in-the-loop middleware. Whoever changes the order is shown it once more.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class TradeInput(TypedDict):
    """`symbol` and `pieces`: what would be bought."""

    symbol: str
    pieces: int


class TradeState(TradeInput, total=False):
    """The order as it was decided, and the `outcome` in words."""

    outcome: str


def ask(order: dict[str, Any]) -> dict[str, Any]:
    """Ask whether to buy, and return the person's decision."""
    about = f"Buy {order['pieces']} pieces of {order['symbol']}?"
    answer = interrupt(
        {
            "action_requests": [{"name": "buy", "args": order, "description": about}],
            "review_configs": [{"action_name": "buy", "allowed_decisions": ["approve", "edit", "reject"]}],
        }
    )
    decision: dict[str, Any] = answer["decisions"][0]
    return decision


def review(state: TradeState) -> TradeState:
    """Ask until the order is approved or rejected."""
    order: dict[str, Any] = {"symbol": state["symbol"], "pieces": int(state["pieces"])}
    decision = ask(order)
    while decision["type"] == "edit":
        order = {**order, **decision["edited_action"]["args"]}
        decision = ask(order)
    if decision["type"] == "reject":
        return {**order, "outcome": f"not bought: {decision.get('message', 'no reason given')}"}  # type: ignore[typeddict-item]
    return {**order, "outcome": f"bought {order['pieces']} {order['symbol']}"}  # type: ignore[typeddict-item]


graph = (
    StateGraph(TradeState, input_schema=TradeInput)
    .add_node("review", review)
    .add_edge(START, "review")
    .add_edge("review", END)
    .compile(name="trade")
)
