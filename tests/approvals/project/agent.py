"""An agent of LangChain's: a person approves, edits or rejects each of its tool calls before it is made."""

from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool


class Mailing(BaseChatModel):
    """Needs no server: it writes to each name that it reads, and then says what the tools said."""

    @property
    def _llm_type(self) -> str:
        return "mailing"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self

    def _generate(self, messages: list[Any], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        last = max(number for number, message in enumerate(messages) if isinstance(message, HumanMessage))
        said = [message.content for message in messages[last:] if isinstance(message, ToolMessage)]
        names = str(messages[last].content).split()
        calls = [
            {"name": "send", "args": {"to": name, "text": "hello"}, "id": f"call-{last}-{number}"}
            for number, name in enumerate(names)
        ]
        message = AIMessage("; ".join(said)) if said else AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


@tool
def send(to: str, text: str) -> str:
    """Send a mail."""
    return f"sent {text} to {to}"


asking = HumanInTheLoopMiddleware(interrupt_on={"send": {"allowed_decisions": ["approve", "edit", "reject"]}})
mailer = create_agent(Mailing(), [send], middleware=[asking], name="mailer")
