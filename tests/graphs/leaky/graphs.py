"""Graphs that tell everything they know, everywhere they can."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, TypedDict

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from opentelemetry import trace

logger = logging.getLogger("leaky")


class State(TypedDict, total=False):
    ledger: str
    customer: dict[str, Any]
    said: str


def everything(state: State) -> str:
    return f"key {os.environ['ACME_API_KEY']} of {os.environ['ACME_URL']}, account {state['customer']['iban']}"


class Model(BaseChatModel):
    """Repeats what it is told."""

    @property
    def _llm_type(self) -> str:
        return "leaky"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(messages[-1].text))])


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return f"found {word}"


def note(state: State, line: str) -> None:
    with Path(state["ledger"]).open("a") as file:
        file.write(f"{line}\n")


def is_first(state: State) -> bool:
    return Path(state["ledger"]).read_text().count("tell") == 1


async def tell(state: State) -> State:
    """By log, custom event, model, tool and span; the first time by an error, too."""
    text = everything(state)
    logger.warning("told %s", text, extra={"customer": state["customer"]})
    get_stream_writer()({"told": text, "customer": state["customer"]})
    await Model().ainvoke(text)
    await look_up.ainvoke({"word": text})
    with trace.get_tracer("author").start_as_current_span("tell", attributes={"http.url": text}) as span:
        span.add_event("told", {"text": text})
    note(state, "tell")
    if is_first(state):
        raise httpx.ConnectError(text)
    return {"said": text}


def pay(state: State) -> State:
    note(state, f"pay {state['customer']['iban']} {state['customer']['pin']}")
    return {}


def ask(state: State) -> State:
    return {"said": str(interrupt({"question": everything(state), "pin": state["customer"]["pin"]}))}


def fail(state: State) -> State:
    try:
        raise KeyError(everything(state))
    except KeyError as error:
        raise ValueError(everything(state)) from error


def break_it(state: State) -> State:
    note(state, "break")
    return {"said": f"{everything(state)} breaks the hook"}


def chain(*nodes: Any) -> Any:
    builder = StateGraph(State)
    before = START
    for node in nodes:
        builder.add_node(node.__name__, node)
        builder.add_edge(before, node.__name__)
        before = node.__name__
    return builder.compile()


spills, asks, fails, breaks_the_hook = chain(tell, pay), chain(ask), chain(fail), chain(break_it)
