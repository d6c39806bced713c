"""The data agent: checks one symbol's prices and computes its figures. One of it runs for each symbol."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from trading_desk.figures import Figures, measure
from trading_desk.prices import Quote, check_quotes
from trading_desk.state import Step


class SymbolPrices(TypedDict):
    """What the orchestrator hands to one data agent."""

    symbol: str
    quotes: list[Quote]


class Measured(TypedDict):
    """What one data agent hands back."""

    figures: dict[str, Figures]
    trail: Annotated[list[Step], operator.add]


class DataState(SymbolPrices, Measured):
    """The data agent's own state."""


def check_prices(state: SymbolPrices) -> dict[str, Any]:
    """Stop at the first row that is wrong (BadInput)."""
    check_quotes(state["symbol"], state["quotes"])
    return {"trail": [_step(f"checked {len(state['quotes'])} monthly prices of {state['symbol']}")]}


def compute_figures(state: SymbolPrices) -> dict[str, Any]:
    """Returns, volatility and drawdown, in plain Python."""
    quotes = state["quotes"]
    figures = measure([quote["date"] for quote in quotes], [quote["price"] for quote in quotes])
    return {
        "figures": {state["symbol"]: figures},
        "trail": [_step(f"computed returns, volatility and drawdown of {state['symbol']}")],
    }


def _step(did: str) -> Step:
    return {"agent": "data_agent", "did": did}


data_agent = (
    StateGraph(DataState, input_schema=SymbolPrices, output_schema=Measured)
    .add_node("check_prices", check_prices)
    .add_node("compute_figures", compute_figures)
    .add_edge(START, "check_prices")
    .add_edge("check_prices", "compute_figures")
    .add_edge("compute_figures", END)
    .compile(name="data_agent")
)
