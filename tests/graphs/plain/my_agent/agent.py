from langgraph.graph import END, START, StateGraph

from my_agent.utils.nodes import call_model
from my_agent.utils.state import AgentState

workflow = StateGraph(AgentState)
workflow.add_node("agent", call_model)
workflow.add_edge(START, "agent")
workflow.add_edge("agent", END)

graph = workflow.compile()
