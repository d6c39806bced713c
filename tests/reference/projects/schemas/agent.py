"""Input and output schemas, and state that only nodes see."""

from typing import TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt


class In(TypedDict):
    question: str


class Out(TypedDict):
    answer: str


class Whole(In, Out):
    draft: str


class Secret(TypedDict):
    token: str


def draft(state: In) -> Whole:
    return {"draft": f"draft of {state['question']}"}


def answer(state: Whole) -> Out:
    return {"answer": state["draft"].upper()}


def sign(state: In) -> Secret:
    return {"token": f"secret {state['question']}"}


def check(state: Secret) -> Out:
    return {"answer": f"{len(state['token'])} {interrupt('sign?')}"}


def build(*nodes) -> StateGraph:
    graph = StateGraph(Whole, input_schema=In, output_schema=Out)
    return graph.add_sequence(list(nodes)).add_edge(START, nodes[0].__name__)


both = build(draft, answer).compile()
private = build(sign, check).compile()
one_channel = (
    StateGraph(Out).add_node("n", lambda state: {"answer": state["answer"] * 2}).add_edge(START, "n").compile()
)
