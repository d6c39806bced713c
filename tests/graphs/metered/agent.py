"""Graphs whose one node calls a model over HTTP: the server of the tests counts."""

from __future__ import annotations

import os
from typing import Any, TypedDict

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    url: str
    model: str
    answer: str


class Served(BaseChatModel):
    """Each answer is one request. To load certificates for each would hold the event loop up."""

    url: str
    model: str

    @property
    def _llm_type(self) -> str:
        return "served"

    def _get_ls_params(self, stop: Any = None, **_: Any) -> Any:
        return {"ls_provider": "served", "ls_model_name": self.model, "ls_model_type": "chat"}

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return answered(httpx.post(f"{self.url}/{self.model}/{os.getpid()}", timeout=20, verify=False))

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        async with httpx.AsyncClient(timeout=20, verify=False) as client:
            return answered(await client.post(f"{self.url}/{self.model}/{os.getpid()}"))


def answered(response: httpx.Response) -> ChatResult:
    response.raise_for_status()
    return ChatResult(generations=[ChatGeneration(message=AIMessage(response.text))])


async def ask(state: State) -> State:
    answer = await Served(url=state["url"], model=state["model"]).ainvoke("?")
    return {"answer": str(answer.content)}


def block(state: State) -> State:
    return {"answer": str(Served(url=state["url"], model=state["model"]).invoke("?").content)}


asks = StateGraph(State).add_node("ask", ask).add_edge(START, "ask")
blocks = StateGraph(State).add_node("block", block).add_edge(START, "block")
