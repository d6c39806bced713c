"""A node's policies: retries, a time limit, an error handler, a cache, and waiting for all others."""

import asyncio
import operator
from collections import Counter
from typing import Annotated, Any, TypedDict

from langgraph.cache.memory import InMemoryCache
from langgraph.errors import NodeError
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy, Command, RetryPolicy

RETRY = RetryPolicy(max_attempts=3, initial_interval=0.01, jitter=False, retry_on=ConnectionError)
_calls: Counter[str] = Counter()


class State(TypedDict, total=False):
    name: str
    x: int
    log: Annotated[list[Any], operator.add]


def unsteady(state: State) -> State:
    _calls[state["name"]] += 1
    if _calls[state["name"]] < 3:
        raise ConnectionError("the line is dead")
    return {"log": [_calls[state["name"]]]}


def never(state: State) -> State:
    raise ConnectionError("the line stays dead")


async def slow(state: State) -> State:
    await asyncio.sleep(state["x"])
    return {"log": ["slow"]}


def recover(state: State, error: NodeError) -> Command[Any]:
    return Command(update={"log": [f"{error.node} failed"]}, goto="end")


def end(state: State) -> State:
    return {"log": ["end"]}


def square(state: State) -> State:
    _calls["square"] += 1
    return {"log": [state["x"] ** 2, _calls["square"]]}


def one(node: Any, **options: Any) -> StateGraph:
    return StateGraph(State).add_node("node", node, **options).add_edge(START, "node")


retries = one(unsteady, retry_policy=RETRY).compile()
gives_up = one(never, retry_policy=RETRY).compile()
times_out = one(slow, timeout=0.2).compile()
handled = one(never, error_handler=recover).add_node(end).compile()
cached = one(square, cache_policy=CachePolicy()).compile(cache=InMemoryCache())

builder = (
    StateGraph(State).add_node("short", lambda state: {"log": ["short"]}).add_node("a", lambda state: {"log": ["a"]})
)
builder.add_node("b", lambda state: {"log": ["b"]}).add_node("last", lambda state: {"log": ["last"]}, defer=True)
builder.add_edge(START, "short").add_edge(START, "a").add_edge("a", "b").add_edge("b", "last").add_edge("short", "last")
deferred = builder.compile()
