"""What a node does while it runs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.pregel import Pregel
from langgraph.types import interrupt

from tests.random_graphs.description import Action, Ask, Call, Pause, Say, Spend
from tests.random_graphs.ledger import Execution
from tests.random_graphs.scripts import Invoke

MEMORY = "memory"


def perform(action: Action, child: Pregel[Any] | None, execution: Execution) -> Generator[Any, Any, list[str]]:
    """Do it; the lines that the node says about it.

    :param child: the graph of a call.
    """
    match action:
        case Pause():
            yield action
            return []
        case Ask(questions):
            return [ask(f"{execution.key}?{number}", execution) for number in range(questions)]
        case Call():
            return (yield from _call(action, child, execution))
        case Say(text):
            return [f"{execution.key} says {text}"]
        case Spend(model):
            _spend(model)
            return []


def ask(question: str, execution: Execution) -> str:
    answer = interrupt(question)
    execution.heard(question, answer)
    return f"{question} {answer}"


def digest(result: Mapping[str, Any]) -> list[str]:
    """What a child's result says, in one line."""
    return [f"[{' '.join(result.get('log', []))} = {result.get('total', 0)}]"]


def _call(action: Call, child: Any, execution: Execution) -> Generator[Any, Any, list[str]]:
    given = [{"log": [], "item": f"{execution.key}/{number}"} for number in range(action.times)]
    wanted = Invoke(child, given, _config(action, execution), action.together)
    try:
        found = yield wanted
    except GraphInterrupt:
        raise
    except Exception as error:
        if not action.careful:
            raise
        return [f"{execution.key} goes on after {type(error).__name__}"]
    return [line for one in found for line in digest(one)]


def _config(action: Call, execution: Execution) -> Any:
    if action.foreign:
        own: Any = get_config()
        return {**own, "configurable": {**own["configurable"], "thread_id": foreign_thread(execution.key)}}
    if action.child.saver == MEMORY:
        # A saver of the child's own is gone with its process: each execution of the node has a thread of its own there.
        return {"configurable": {"thread_id": f"{execution.key}-{execution.nonce}"}}
    return None


def foreign_thread(key: str) -> str:
    """The thread that an execution names although its run does not own it."""
    return f"not of {key}"


def _spend(model: str) -> None:
    usage = UsageMetadata(input_tokens=1, output_tokens=2, total_tokens=3)
    said = AIMessage("well", usage_metadata=usage, response_metadata={"model_name": model})
    FakeMessagesListChatModel(responses=[said]).invoke("?")
