"""The graphs of the soak that other tests do not have; and the last page of figures of their worker's process."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from prometheus_client import generate_latest

from langgraph_worker.telemetry.metrics import Metrics

PAGES = "SOAK_PAGES"
"""Environment variable: the folder that gets the last page of figures of each process that ends in order."""
LEAK = "SOAK_LEAK_BYTES"
"""Environment variable: what each run of ``quick`` leaves behind, so that the soak has something to find."""

MOST_TURNS = 40
_leaked: list[bytes] = []


class LastPage(logging.Handler):
    """Writes the figures when the process closes its log: the last thing that it does, in whichever way it ends."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._metrics: Metrics | None = None
        create = Metrics.__init__

        def remember(metrics: Metrics, *arguments: Any, **named: Any) -> None:
            create(metrics, *arguments, **named)
            if arguments:  # the worker's own, not a part's default
                self._metrics = metrics

        Metrics.__init__ = remember  # type: ignore[method-assign]

    def close(self) -> None:
        if self._metrics is not None:
            self._path.write_bytes(generate_latest(self._metrics.registry))
        super().close()


last_page = LastPage(Path(os.environ[PAGES]) / f"{os.getpid()}.prom") if PAGES in os.environ else None


class Small(TypedDict, total=False):
    value: int


def count(state: Small) -> Small:
    if size := int(os.environ.get(LEAK, "0")):
        _leaked.append(os.urandom(size))
    return {"value": state.get("value", 0) + 1}


quick = StateGraph(Small).add_node("count", count).add_edge(START, "count").compile()


class Model(BaseChatModel):
    """Each answer takes 100 tokens, of a model whose price is known."""

    @property
    def _llm_type(self) -> str:
        return "soak"

    def _get_ls_params(self, stop: Any = None, **_: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "gpt-4o-mini", "ls_model_type": "chat"}

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        usage: Any = {"input_tokens": 90, "output_tokens": 10, "total_tokens": 100}
        message = AIMessage("yes", usage_metadata=usage, response_metadata={"model_name": "gpt-4o-mini"})
        return ChatResult(generations=[ChatGeneration(message=message)])


class Spending(TypedDict, total=False):
    """:param stumbles: a file; the node in the middle fails as long as it is not there. Empty: it does not fail."""

    stumbles: str
    answers: int


async def call(state: Spending) -> Spending:
    await Model().ainvoke("?")
    return {"answers": state.get("answers", 0) + 1}


async def call_and_stumble(state: Spending) -> Spending:
    """The tokens of a call are spent, though its node fails."""
    await Model().ainvoke("?")
    been_here = state.get("stumbles") and Path(state["stumbles"])
    if been_here and not been_here.exists():
        been_here.touch()
        raise ConnectionError("the market does not answer")
    return {"answers": state.get("answers", 0) + 1}


spender = (
    StateGraph(Spending)
    .add_sequence([("plan", call), ("trade", call_and_stumble), ("report", call)])
    .add_edge(START, "plan")
    .compile()
)


def last_turns(before: list[AnyMessage], new: list[AnyMessage]) -> list[AnyMessage]:
    return add_messages(before, new)[-MOST_TURNS:]  # type: ignore[arg-type, index, return-value]


class Conversation(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], last_turns]


def answer(state: Conversation, config: RunnableConfig) -> Conversation:
    return {"messages": [AIMessage(f"{len(state['messages'])} turns so far")]}


talk = StateGraph(Conversation).add_node("answer", answer).add_edge(START, "answer").compile()
