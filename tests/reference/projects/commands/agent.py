"""Where to go next: Command, Command of the parent graph, Send."""

import operator
from typing import Annotated, Any, Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    x: int


def choose(state: State) -> Command[Literal["small", "large"]]:
    return Command(update={"log": ["choose"]}, goto="small" if state["x"] < 10 else "large")


def small(state: State) -> State:
    return {"log": ["small"]}


def large(state: State) -> Command[Literal["choose"]]:
    return Command(update={"log": ["large"], "x": state["x"] // 2}, goto="choose")


jumps = StateGraph(State).add_node(choose).add_node(small).add_node(large).add_edge(START, "choose").compile()


def leave(state: State) -> Command[Any]:
    return Command(graph=Command.PARENT, goto="other", update={"log": ["left"]})


inner = StateGraph(State).add_node(leave).add_edge(START, "leave").compile()
outer = StateGraph(State).add_node("inner", inner, destinations=("other",)).add_edge(START, "inner")
parent = outer.add_node("other", lambda state: {"log": ["other"]}).compile()


def split(state: State) -> list[Send]:
    return [Send("work", {"x": number}) for number in range(state["x"])]


def work(state: State) -> State:
    return {"log": [state["x"] ** 2]}


def work_and_ask(state: State) -> State:
    return {"log": [interrupt(f"number {state['x']}?")]}


def sending(node) -> StateGraph:
    builder = StateGraph(State).add_node("work", node).add_node("gather", lambda state: {"log": ["all"]})
    builder.add_conditional_edges(START, split, ["work"])
    return builder.add_edge("work", "gather").add_edge("gather", END)


sends = sending(work).compile()
sends_and_asks = sending(work_and_ask).compile()
