"""The analysis agent: asks a chat model for a summary, and uses it only if every number in it is a computed one.

ask_model -> check_numbers -> the end, or ask_model once more, or write_rules. Without a model: write_rules alone.
A model that is configured but cannot be reached is an error of the run: rules never stand in for it.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from trading_desk.chat_model import chosen_model, ollama_chat_model
from trading_desk.figures import Figures
from trading_desk.number_check import unverified_numbers
from trading_desk.state import Findings, Step
from trading_desk.wording import fact_sheet, rule_based_summary

MOST_DRAFTS = 2
ASK_LIMIT = timedelta(seconds=120)  # one question, however slowly the answer trickles in

TASK = (
    "You write for a trading desk. Say in two or three sentences of plain prose what the figures show. "
    "Copy numbers exactly as they stand, with their % sign. "
    "Use no other number, compute none, make no list, give no advice."
)


class AnalysisInput(TypedDict):
    """What the desk's state holds for this agent."""

    figures: dict[str, Figures]


class AnalysisResult(Findings):
    """What this agent writes to the desk's state."""

    trail: Annotated[list[Step], operator.add]


class AnalysisState(AnalysisInput, AnalysisResult):
    """The agent's own state: `messages` is its talk with the model."""

    messages: Annotated[list[AnyMessage], add_messages]


def build_analysis_agent(
    make_model: Callable[[str], BaseChatModel] = ollama_chat_model, limit: timedelta = ASK_LIMIT
) -> CompiledStateGraph[AnalysisState, None, AnalysisInput, AnalysisResult]:
    """The agent as a graph. `make_model` turns a model's name into a chat model; `limit` is for one question to it."""

    # [START ask_model]
    async def ask_model(state: AnalysisState, config: RunnableConfig) -> dict[str, Any]:
        """One draft. Errors of the model's server (httpx.ConnectError, ollama.ResponseError, ...) pass through."""
        name = chosen_model(config)
        assert name is not None  # `first_step` saw to it
        new: list[AnyMessage] = [] if state["messages"] else _question(state["figures"])
        # Making the client reads certificates from disk: not on the event loop.
        model = await asyncio.to_thread(make_model, name)
        draft = await model.ainvoke([*state["messages"], *new], config)
        return {"messages": [*new, draft], "model": name, "trail": [_step(f"asked {name} for a summary")]}

    # [END ask_model]

    return (
        StateGraph(AnalysisState, input_schema=AnalysisInput, output_schema=AnalysisResult)
        .add_node("ask_model", ask_model, timeout=limit)
        .add_node("check_numbers", check_numbers)
        .add_node("write_rules", write_rules)
        .add_conditional_edges(START, first_step)
        .add_edge("ask_model", "check_numbers")
        .add_edge("write_rules", END)
        .compile(name="analysis_agent")
    )


def first_step(state: AnalysisInput, config: RunnableConfig) -> Literal["ask_model", "write_rules"]:
    """A chat model if one is configured."""
    return "ask_model" if chosen_model(config) else "write_rules"


# [START check_numbers]
def check_numbers(state: AnalysisState) -> Command[Literal["ask_model", "write_rules", "__end__"]]:
    """Accept the draft, or say which numbers are wrong and ask again, or give up on the model."""
    draft = state["messages"][-1].text.strip()
    wrong = unverified_numbers(draft, state["figures"])
    if draft and not wrong:
        found: Findings = {
            "summary": draft,
            "summary_source": "model",
            "model": state["model"],
            "note": "",
            "unverified_numbers": [],
        }
        return Command(
            goto="__end__", update={**found, "trail": [_step("found every number of the draft in the figures")]}
        )
    fault = f"these numbers are not in the figures: {', '.join(wrong)}" if wrong else "it is empty"
    update = {"unverified_numbers": wrong, "trail": [_step(f"rejected the draft: {fault}")]}
    drafts = sum(isinstance(message, AIMessage) for message in state["messages"])
    if drafts >= MOST_DRAFTS:
        return Command(goto="write_rules", update=update)
    again = HumanMessage(f"Your text cannot be used: {fault}. Write it again with numbers from the figures only.")
    return Command(goto="ask_model", update={**update, "messages": [again]})


# [END check_numbers]


def write_rules(state: AnalysisState) -> dict[str, Any]:
    """The summary that needs no model, and why it is used."""
    model = state.get("model")
    found: Findings = {
        "summary": rule_based_summary(state["figures"]),
        "summary_source": "rules",
        "model": model,
        "note": f"no draft of {model} passed the number check; the summary is rule-based"
        if model
        else "no chat model is configured (set OLLAMA_MODEL, or model in the run's config); the summary is rule-based",
        "unverified_numbers": state.get("unverified_numbers", []),
    }
    return {**found, "trail": [_step("wrote the rule-based summary")]}


def _question(figures: Mapping[str, Figures]) -> list[AnyMessage]:
    return [SystemMessage(TASK), HumanMessage(f"The figures:\n{fact_sheet(figures)}")]


def _step(did: str) -> Step:
    return {"agent": "analysis_agent", "did": did}
