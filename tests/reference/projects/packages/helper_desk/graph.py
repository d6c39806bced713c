"""A package whose modules import each other relatively, and whose class is in the state."""

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from .state import State, Ticket


def take(state: State) -> State:
    return {"ticket": Ticket(state["title"])}


def close(state: State) -> State:
    ticket = state["ticket"]
    return {"ticket": Ticket(ticket.title, closed=interrupt(f"close {ticket.title}?"))}


graph = StateGraph(State).add_sequence([take, close]).add_edge(START, "take").compile()
