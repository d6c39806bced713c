"""Every form of a factory; each graph says which one made it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.graph import START, StateGraph
from langgraph_sdk.runtime import ServerRuntime


class State(TypedDict, total=False):
    x: int
    made: Any


def builder(made: Any) -> StateGraph:
    def say(state: State) -> State:
        return {"made": made}

    graph = StateGraph(State)
    graph.add_node(say)
    graph.add_edge(START, "say")
    return graph


def bare():
    return builder("bare").compile()


def gives_builder():
    return builder("builder")


def of_config(config: RunnableConfig):
    return builder(config["configurable"].get("user", "nobody")).compile()


def of_runtime(runtime: ServerRuntime):
    return builder(runtime.execution_runtime is not None).compile()


async def of_both(config: RunnableConfig, runtime: ServerRuntime):
    return builder(config["configurable"].get("user", "nobody")).compile()


def odd(whatever):
    return builder(whatever["configurable"].get("user", "nobody")).compile()


async def waits():
    return builder("waits").compile()


@contextlib.contextmanager
def managed(config: RunnableConfig) -> Iterator[Any]:
    yield builder("managed").compile()


@contextlib.asynccontextmanager
async def async_managed() -> AsyncIterator[Any]:
    yield builder("async managed").compile()


def asks_config():
    return builder(get_config()["configurable"].get("user", "nobody")).compile()
