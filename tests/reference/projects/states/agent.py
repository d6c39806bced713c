"""States of all kinds: pydantic model, dataclass, rich values, reducers of one's own."""

import datetime
import decimal
import enum
import operator
import pathlib
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel, Field


class Person(BaseModel):
    name: str
    age: int = 0


class Model(BaseModel):
    person: Person
    log: Annotated[list[str], operator.add] = Field(default_factory=list)
    count: int = Field(default=0, ge=0)


@dataclass
class Data:
    name: str = ""
    log: Annotated[list[str], operator.add] = field(default_factory=list)


class Colour(enum.Enum):
    RED = "red"


class Rich(TypedDict, total=False):
    day: Any
    at: Any
    amount: Any
    id: Any
    place: Any
    colour: Any
    pair: Any
    raw: Any
    person: Any
    infinite: Any
    answer: Any


def newest(left: int | None, right: int | None) -> int:
    return max(left or 0, right or 0)


class Reduced(TypedDict, total=False):
    highest: Annotated[int, newest]
    total: Annotated[int, operator.add]
    both: Annotated[dict[str, Any], operator.or_]


def birthday(state: Model) -> dict[str, Any]:
    return {"person": Person(name=state.person.name, age=state.person.age + 1), "log": ["birthday"], "count": 1}


def ask_model(state: Model) -> dict[str, Any]:
    return {"log": [f"{state.person.name} {interrupt(state.person)}"]}


def greet(state: Data) -> dict[str, Any]:
    return {"log": [f"hello {state.name}"]}


def fill(state: Rich) -> Rich:
    return {
        "day": datetime.date(2026, 2, 3),
        "at": datetime.timedelta(hours=1),
        "amount": decimal.Decimal("1.50"),
        "id": uuid.UUID(int=7),
        "place": pathlib.Path("/a/b"),
        "colour": Colour.RED,
        "pair": (1, "two"),
        "person": Person(name="ann"),
    }


def read_back(state: Rich) -> Rich:
    kinds = sorted(type(value).__name__ for value in state.values())
    return {"answer": [kinds, interrupt("seen?")]}


def reduce(state: Reduced) -> Reduced:
    return {"highest": 5, "total": 2, "both": {"b": 2}}


model = StateGraph(Model).add_sequence([birthday, ask_model]).add_edge(START, "birthday").compile()
data = StateGraph(Data).add_node(greet).add_edge(START, "greet").compile()
rich = StateGraph(Rich).add_sequence([fill, read_back]).add_edge(START, "fill").compile()
reducers = StateGraph(Reduced).add_node(reduce).add_edge(START, "reduce").compile()
root = StateGraph(dict).add_node("n", lambda state: {**state, "n": 1}).add_edge(START, "n").compile()
