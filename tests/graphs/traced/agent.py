"""A graph that fails once, waits for a file, and asks a person: a run of it has many starts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypedDict

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from opentelemetry import trace

SECRET = "the position-of-tests is open"
"""It is in prompts, answers, tools and errors."""


class State(TypedDict, total=False):
    ledger: str
    gate: str
    answer: str


class Model(BaseChatModel):
    """Answers always the same."""

    @property
    def _llm_type(self) -> str:
        return "traced"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "mistralai", "ls_model_type": "chat", "ls_model_name": "small"}

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        about = {"model_name": "small-2026", "finish_reason": "stop"}
        message = AIMessage(SECRET, id="answer-1", usage_metadata=usage, response_metadata=about)
        return ChatResult(generations=[ChatGeneration(message=message)])


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word}: {SECRET}"


def note(state: State, line: str) -> None:
    with Path(state["ledger"]).open("a") as file:
        file.write(f"{line}\n")


def is_first(state: State) -> bool:
    return Path(state["ledger"]).read_text().count("plan") == 1


def fetch(state: State) -> State:
    with trace.get_tracer("author").start_as_current_span("read the book"):
        note(state, "fetch")
    return {}


async def plan(state: State) -> State:
    note(state, "plan")
    if is_first(state):
        raise httpx.ConnectError(SECRET)
    await Model().ainvoke(SECRET)
    await look_up.ainvoke({"word": SECRET})
    return {}


async def wait(state: State) -> State:
    note(state, "wait")
    while not Path(state["gate"]).exists():  # noqa: ASYNC110, ASYNC240 - a file outlives a killed worker
        await asyncio.sleep(0.02)
    return {}


def approve(state: State) -> State:
    answer = interrupt({"question": SECRET})
    return {"answer": str(answer)}


async def trade(state: State) -> State:
    await Model().ainvoke(SECRET)
    note(state, "trade")
    return {}


graph = StateGraph(State)
before: str = START
for node in (fetch, plan, wait, approve, trade):
    graph.add_node(node.__name__, node)
    graph.add_edge(before, node.__name__)
    before = node.__name__
