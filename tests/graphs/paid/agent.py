"""A graph whose nodes call a model, and whose second one waits for a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages


class State(TypedDict, total=False):
    ledger: str
    gate: str
    messages: Annotated[list[AnyMessage], add_messages]


class Model(BaseChatModel):
    """Each answer takes 100 tokens."""

    @property
    def _llm_type(self) -> str:
        return "paid"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        usage: Any = {"input_tokens": 90, "output_tokens": 10, "total_tokens": 100}
        message = AIMessage("yes", usage_metadata=usage, response_metadata={"model_name": "paid-1"})
        return ChatResult(generations=[ChatGeneration(message=message)])


def note(state: State, line: str) -> None:
    with Path(state["ledger"]).open("a") as ledger:
        ledger.write(f"{line}\n")


def calls(line: str) -> Any:
    def node(state: State) -> State:
        answer = Model().invoke("?")
        note(state, line)
        return {"messages": [answer]}

    return node


async def wait_for_gate(state: State) -> State:
    note(state, "waiting")
    while not Path(state["gate"]).exists():  # noqa: ASYNC110, ASYNC240 - a file outlives a killed worker
        await asyncio.sleep(0.02)
    return {}


graph = StateGraph(State)
before = START
for name, node in {"a": calls("a"), "gate": wait_for_gate, "b": calls("b"), "c": calls("c")}.items():
    graph.add_node(name, node)
    graph.add_edge(before, name)
    before = name
