"""A graph whose second node raises what its input says, one error after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import httpx
import httpx2
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    ledger: str
    errors: list[str]
    model: str


class InStreamError(Exception):
    """As clients of models raise what a server writes into a stream that has begun well."""

    status_code = 200

    @property
    def body(self) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "overloaded_error"}}


class UnreadableError(Exception):
    """Its own code raises when it is looked at."""

    @property
    def code(self) -> str:
        raise IndexError

    @property
    def status(self) -> int:
        raise RuntimeError


def error_of(kind: str) -> Exception:
    """``429``, ``429:3`` with a Retry-After, ``503``, or a name below; any other is a ValueError."""
    name, _, seconds = kind.partition(":")
    if name.isdigit():
        headers = {"Retry-After": seconds} if seconds else {}
        answer = httpx.Response(int(name), headers=headers)
        return httpx.HTTPStatusError(kind, request=httpx.Request("POST", "http://model"), response=answer)
    return {
        "timeout": httpx.ReadTimeout("slow"),
        "connection": httpx.ConnectError("away"),
        "connection_of_httpx2": httpx2.ConnectError("away"),
        "in_stream": InStreamError("overloaded"),
        "unreadable": UnreadableError("?"),
        "too_long": ContextOverflowError("too long"),
    }.get(name, ValueError(kind))


class Model(BaseChatModel):
    """Each call writes a line; the n-th raises the n-th error."""

    ledger: str
    errors: list[str]
    name_of_model: str

    @property
    def _llm_type(self) -> str:
        return "failing"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "tests", "ls_model_type": "chat", "ls_model_name": self.name_of_model}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        note(self.ledger, f"call {self.name_of_model}")
        number = Path(self.ledger).read_text().count("call")
        if number <= len(self.errors):
            raise error_of(self.errors[number - 1])
        return ChatResult(generations=[ChatGeneration(message=AIMessage("yes"))])


def note(ledger: str, line: str) -> None:
    with Path(ledger).open("a") as file:
        file.write(f"{line}\n")


def fetch(state: State) -> State:
    note(state["ledger"], "fetch")
    return {}


def ask(state: State, config: RunnableConfig) -> State:
    name = config["configurable"].get("model", "small")
    Model(ledger=state["ledger"], errors=state["errors"], name_of_model=name).invoke("?")
    return {"model": name}


graph = StateGraph(State)
graph.add_node("fetch", fetch)
graph.add_node("ask", ask)
graph.add_edge(START, "fetch")
graph.add_edge("fetch", "ask")
