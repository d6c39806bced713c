"""The trading desk: an orchestrator hands each symbol to a data agent, then all figures to the analysis agent.

orchestrator --(one Send a symbol)--> data_agent --(all done)--> analysis_agent
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Overwrite, Send

from trading_desk.analysis_agent import build_analysis_agent
from trading_desk.chat_model import ollama_chat_model
from trading_desk.data_agent import data_agent
from trading_desk.prices import split_by_symbol
from trading_desk.state import DeskInput, DeskResult, DeskState


# [START orchestrator]
def orchestrator(state: DeskInput) -> Command[Literal["data_agent"]]:
    """Take the order, refuse what cannot be worked on (BadInput), and set one data agent to work on each symbol."""
    orders = split_by_symbol(state.get("prices"), state.get("symbols"))
    did = f"gave {', '.join(orders)} to {len(orders)} data agent(s)"
    # A thread may be used again: the prices go to the agents and are not kept, and nothing of an earlier order stays.
    fresh: dict[str, Any] = {"prices": [], "symbols": None, "figures": Overwrite({})}
    return Command(
        update={**fresh, "trail": Overwrite([{"agent": "orchestrator", "did": did}])},
        goto=[Send("data_agent", {"symbol": symbol, "quotes": quotes}) for symbol, quotes in orders.items()],
    )


# [END orchestrator]


# [START graph]
def build_desk(
    make_model: Callable[[str], BaseChatModel] = ollama_chat_model,
) -> CompiledStateGraph[DeskState, None, DeskInput, DeskResult]:
    """The desk as a graph. `make_model` turns a model's name into a chat model."""
    return (
        StateGraph(DeskState, input_schema=DeskInput, output_schema=DeskResult)
        .add_node("orchestrator", orchestrator)
        .add_node("data_agent", data_agent)
        .add_node("analysis_agent", build_analysis_agent(make_model))
        .add_edge(START, "orchestrator")
        .add_edge("data_agent", "analysis_agent")
        .add_edge("analysis_agent", END)
        .compile(name="trading_desk")
    )


graph = build_desk()
# [END graph]
