"""Every form of a factory; each graph says which one made it."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph_sdk.runtime import ServerRuntime
from pydantic import BaseModel


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


@dataclass
class Data:
    user: str = "nobody"


class Model(BaseModel):
    user: str = "nobody"


class Typed(TypedDict, total=False):
    user: str


def seen(runtime: Any, schema: Any = None) -> StateGraph:
    """A graph that says what its factory sees of the context, and what its node does."""
    run = runtime.execution_runtime
    context = run.context if run else None

    def say(state: State, runtime: Runtime) -> State:
        return {"made": [_said(context), _said(runtime.context)]}

    return StateGraph(State, context_schema=schema).add_node(say).add_edge(START, "say")


def _said(context: Any) -> list[Any]:
    values = context if isinstance(context, dict) or context is None else vars(context)
    return [type(context).__name__, values]


def sees_data(runtime: ServerRuntime[Data]):
    return seen(runtime, Data).compile()


def sees_model(runtime: ServerRuntime[Model]):
    return seen(runtime, Model).compile()


def sees_typed(runtime: ServerRuntime[Typed]):
    return seen(runtime, Typed).compile()


def sees_untyped(runtime: ServerRuntime):
    return seen(runtime, Data).compile()


def sees_any(runtime: ServerRuntime):
    return seen(runtime).compile()
