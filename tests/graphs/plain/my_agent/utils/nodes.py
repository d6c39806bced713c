import os

from langchain_core.messages import AIMessage

from my_agent.utils.state import AgentState


def call_model(state: AgentState):
    question = state["messages"][-1].content
    return {"messages": [AIMessage(f"{os.environ['GREETING']}! You said: {question}")]}
