"""A run's context: dataclass, pydantic model, TypedDict, with required fields, without a schema, in a subgraph."""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime, get_runtime
from langgraph.types import interrupt
from pydantic import BaseModel


class State(TypedDict, total=False):
    x: int
    seen: Any
    answer: Any


@dataclass
class Data:
    user: str = "nobody"
    number: int = 3


class Model(BaseModel):
    user: str = "nobody"
    number: int = 4


class Typed(TypedDict, total=False):
    user: str


@dataclass
class Required:
    user: str


def shown(context: Any) -> Any:
    if dataclasses.is_dataclass(context):
        return {"dataclass": dataclasses.asdict(context)}
    return {"model": context.model_dump()} if isinstance(context, BaseModel) else context


def look(state: State, runtime: Runtime) -> State:
    return {"seen": shown(runtime.context)}


def look_around(state: State) -> State:
    return {"seen": shown(get_runtime().context)}


def ask(state: State) -> State:
    return {"answer": interrupt("go on?")}


def graph(schema: Any = None, **nodes: Any) -> Any:
    builder = StateGraph(State, context_schema=schema)
    for name, node in nodes.items():
        builder.add_node(name, node)
    names = [START, *nodes]
    for first, second in itertools.pairwise(names):
        builder.add_edge(first, second)
    return builder.compile()


data, model, typed = graph(Data, look=look), graph(Model, look=look), graph(Typed, look=look)
required, plain = graph(Required, look=look), graph(look=look)
nested = graph(Data, inner=graph(Data, look=look_around))
asks = graph(Data, ask=ask, look=look)
