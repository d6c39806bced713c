"""A conversation in messages, over several turns."""

from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.graph import START, MessagesState, StateGraph, add_messages


class State(TypedDict, total=False):
    talk: Annotated[list[AnyMessage], add_messages]


def reply(state: MessagesState) -> dict[str, Any]:
    said = [message.content for message in state["messages"] if isinstance(message, HumanMessage)]
    return {"messages": [AIMessage(f"you said {said[-1]}, and {len(said) - 1} before", name="bot")]}


def shorten(state: State) -> dict[str, Any]:
    old = state["talk"][:-2]
    return {"talk": [*(RemoveMessage(message.id) for message in old), SystemMessage(f"{len(old)} left out")]}


talk = StateGraph(MessagesState).add_node(reply).add_edge(START, "reply").compile()
appends = StateGraph(State).add_node(shorten).add_edge(START, "shorten").compile()
