"""A package within the package."""

from langgraph.graph import START, StateGraph

from helper_desk.state import State, Ticket


def take(state: State) -> State:
    return {"ticket": Ticket(f"team: {state['title']}")}


graph = StateGraph(State).add_node(take).add_edge(START, "take").compile()
