"""Questions to a person: one, two of a node, side by side, in a subgraph, in the old form, and until it is right."""

import operator
import warnings
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from langgraph.errors import NodeInterrupt


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    x: int


def before(state: State) -> State:
    return {"log": ["before"]}


def ask(state: State) -> State:
    return {"log": [interrupt({"question": "really?", "x": state.get("x")})]}


def after(state: State) -> State:
    return {"log": ["after"]}


def ask_two(state: State) -> State:
    name = interrupt("name?")
    age = interrupt({"question": "age?", "name": name})
    return {"log": [name, age]}


def ask_left(state: State) -> State:
    return {"log": [f"left {interrupt('left?')}"]}


def ask_right(state: State) -> State:
    return {"log": [f"right {interrupt('right?')}"]}


def stop(state: State) -> State:
    if len(state["log"]) < 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raise NodeInterrupt("say more")
    return {"log": ["enough"]}


def ask_until_right(state: State) -> State:
    tries = 0
    hint = "a number?"
    while not isinstance(answer := interrupt(hint), int):
        tries += 1
        hint = f"{answer!r} is no number"
    return {"log": [answer, tries]}


def chain(*nodes: Any) -> StateGraph:
    builder = StateGraph(State)
    builder.add_sequence(nodes)
    builder.add_edge(START, nodes[0] if isinstance(nodes[0], str) else nodes[0].__name__)
    return builder


one = chain(before, ask, after).compile()
two = chain(before, ask_two, after).compile()
old = chain(before, stop, after).compile()
loop = chain(ask_until_right).compile()

side_by_side = StateGraph(State)
for node in (before, ask_left, ask_right, after):
    side_by_side.add_node(node)
side_by_side.add_edge(START, "before")
side_by_side.add_edge("before", "ask_left")
side_by_side.add_edge("before", "ask_right")
side_by_side.add_edge(["ask_left", "ask_right"], "after")
parallel = side_by_side.compile()

outer = StateGraph(State)
outer.add_node("first", before)
outer.add_node("inner", chain(before, ask, after).compile())
outer.add_node("last", after)
outer.add_edge(START, "first")
outer.add_edge("first", "inner")
outer.add_edge("inner", "last")
nested = outer.compile()
