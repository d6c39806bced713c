"""A chat model that needs no server: it calls a tool for each sum that it reads, and then says the results."""

import re
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult


class Calculating(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "calculating"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self

    def _generate(self, messages: list[Any], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages))])

    def _reply(self, messages: list[Any]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            last = max(n for n, message in enumerate(messages) if isinstance(message, HumanMessage))
            found = [message.content for message in messages[last:] if isinstance(message, ToolMessage)]
            return AIMessage(f"the results are {', '.join(found)}")
        sums = re.findall(r"(\d+)\+(\d+)", messages[-1].content)
        calls = [
            {"name": "add", "args": {"a": int(a), "b": int(b)}, "id": f"call-{len(messages)}-{number}"}
            for number, (a, b) in enumerate(sums)
        ]
        return AIMessage("" if calls else "nothing to add", tool_calls=calls)
