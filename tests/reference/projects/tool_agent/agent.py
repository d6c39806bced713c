"""An agent that calls tools, built from nodes; and one whose tool asks a person first."""

from typing import Any

from fake_model import Calculating
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool("add")
async def add_if_allowed(a: int, b: int) -> str:
    """Add two numbers, if a person agrees. Asynchronous, because calls in threads would ask in any order."""
    decision = interrupt({"tool": "add", "args": {"a": a, "b": b}})
    if decision["type"] == "edit":
        return str(decision["args"]["a"] + decision["args"]["b"])
    return str(a + b) if decision["type"] == "accept" else f"refused: {decision['why']}"


def build(tools: list[Any]) -> Any:
    model = Calculating().bind_tools(tools)

    async def call_model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("model", call_model).add_node("tools", ToolNode(tools))
    builder.add_edge(START, "model").add_conditional_edges("model", tools_condition).add_edge("tools", "model")
    return builder.compile()


agent = build([add])
careful = build([add_if_allowed])
