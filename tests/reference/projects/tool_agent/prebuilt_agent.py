"""The prebuilt agent of LangGraph, which many projects still have, with an answer in a form of its own."""

import warnings
from typing import Any

from agent import add
from fake_model import Calculating
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from langgraph.prebuilt import create_react_agent


class Answer(BaseModel):
    text: str
    sure: bool


class Structured(Calculating):
    def with_structured_output(self, schema: Any, **options: Any) -> Any:
        return RunnableLambda(lambda messages: schema(text=messages[-1].content, sure=True))


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    agent = create_react_agent(Structured(), [add], prompt="add numbers", response_format=Answer, name="adder")
