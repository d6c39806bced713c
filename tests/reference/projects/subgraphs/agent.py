"""Subgraphs of all kinds of checkpointers; as a node, called in a node, with a state of their own."""

import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    x: int


class Inner(TypedDict, total=False):
    kept: Annotated[list[Any], operator.add]
    number: int


def work(state: State) -> State:
    return {"log": [f"work {state['x']}"]}


def more(state: State) -> State:
    return {"log": ["more"]}


def ask(state: State) -> State:
    return {"log": [interrupt("inside?")]}


def keep(state: Inner) -> Inner:
    return {"kept": [state["number"]]}


def outside(inner: Any) -> Any:
    return StateGraph(State).add_sequence([("inner", inner), more]).add_edge(START, "inner").compile()


asking = StateGraph(State).add_sequence([work, ask]).add_edge(START, "work")
working = StateGraph(State).add_sequence([work, more]).add_edge(START, "work")
inherits = outside(asking.compile())
none = outside(working.compile(checkpointer=False))
keeping = StateGraph(Inner).add_node(keep).add_edge(START, "keep")
remembering = keeping.compile(checkpointer=True)
forgetting = keeping.compile()


async def call(state: State) -> State:
    found = await remembering.ainvoke({"number": state["x"]})
    return {"log": [found["kept"]]}


def translate(state: State) -> State:
    return {"log": [forgetting.invoke({"number": state["x"]})["kept"]]}


own = StateGraph(State).add_node(call).add_edge(START, "call").compile()
called = StateGraph(State).add_sequence([translate, more]).add_edge(START, "translate").compile()


def ask_inside(state: Inner) -> Inner:
    return {"kept": [interrupt({"number": state["number"]})]}


questions = StateGraph(Inner).add_sequence([keep, ask_inside]).add_edge(START, "keep").compile()


def translate_questions(state: State) -> State:
    return {"log": [questions.invoke({"number": state["x"]})["kept"]]}


translates = (
    StateGraph(State).add_sequence([translate_questions, more]).add_edge(START, "translate_questions").compile()
)
