"""Counting what a run's models spend, as LangChain reports it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langgraph_worker.telemetry.prices import cost_usd
from workflow_events.models import MOST_COUNTED
from workflow_events.results import ModelUsage

_MOST_FAILED = 20  # calls, of which the exceptions are kept

NO_NAME = "unknown"
"""The name of a model that does not say its own."""


@dataclass(frozen=True, slots=True)
class CalledModel:
    """A model as it is known before it answers.

    :param name: None if it does not say its own.
    :param provider: LangChain's name of it, if it says one.
    """

    name: str | None
    provider: str | None

    @classmethod
    def from_start(cls, serialized: Any, metadata: Any, rest: Mapping[str, Any]) -> CalledModel:
        """From what LangChain reports of a call that begins.

        :param rest: the further arguments of the callback.
        """
        about = metadata or {}
        asked = rest.get("invocation_params") or {}
        named = (about.get("ls_model_name"), asked.get("model"), asked.get("model_name"))
        name = next((one for one in named if isinstance(one, str) and one), None)
        provider = about.get("ls_provider")
        return cls(name, provider if isinstance(provider, str) and provider else None)


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A call that a model has answered.

    :param model: its name.
    :param is_reported: whether the model said how many tokens it took.
    :param message_id: of its answer, by which a checkpoint's messages are compared with what is counted.
    """

    model: str
    used: ModelUsage
    is_reported: bool = True
    message_id: str | None = None


class ModelCallHandler(BaseCallbackHandler):
    """Hears of calls of models alone, without cost for runs that call none.

    LangChain passes every start and end of every node to a synchronous handler, each through a thread.
    """

    run_inline = True

    @property
    def ignore_chain(self) -> bool:
        """Nodes call no model by themselves."""
        return True

    @property
    def ignore_retriever(self) -> bool:
        """Neither do retrievers."""
        return True

    @property
    def ignore_agent(self) -> bool:
        """Nor tools."""
        return True


_NO_ANSWER = LLMResult(generations=[])
_UNKNOWN = CalledModel(None, None)


class UsageCounter(ModelCallHandler):
    """Counts calls of models.

    :param count: called for each call, from the thread that has made it.
    """

    def __init__(self, count: Callable[[ModelCall], None]) -> None:
        self._count = count
        self._called: dict[UUID, CalledModel] = {}
        self._failed: deque[tuple[BaseException, CalledModel]] = deque(maxlen=_MOST_FAILED)

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, metadata: Any = None, **rest: Any
    ) -> None:
        """A chat model is called."""
        self._called[run_id] = CalledModel.from_start(serialized, metadata, rest)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, metadata: Any = None, **rest: Any) -> None:
        """A model of the older kind is called."""
        self._called[run_id] = CalledModel.from_start(serialized, metadata, rest)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """A model has answered."""
        self._count(call_in(response, self._called.pop(run_id, CalledModel(None, None))))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, response: Any = None, **_: Any) -> None:
        """A call failed, and what it took is not reported; or the node left it before its end: then it has answered."""
        called = self._called.pop(run_id, None)
        if isinstance(error, GeneratorExit):
            self._count(call_in(response if isinstance(response, LLMResult) else _NO_ANSWER, called or _UNKNOWN))
            return
        if called is not None:
            self._failed.append((error, called))

    def model_that_raised(self, errors: Iterable[BaseException]) -> str | None:
        """The name of the model whose call raised one of these; None if none did, or it does not say its name."""
        wanted = {id(error) for error in errors}
        return next((called.name for error, called in self._failed if id(error) in wanted), None)


def call_in(response: LLMResult, called: CalledModel) -> ModelCall:
    """The call that a model's answer ends."""
    generation = next((one for some in response.generations for one in some), None)
    if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
        return call_of(generation.message, called)
    # Models of the older kind have no message; those that count at all do so here.
    tokens = (response.llm_output or {}).get("token_usage") or {}
    counted = {
        "input_tokens": tokens.get("prompt_tokens"),
        "output_tokens": tokens.get("completion_tokens"),
        "total_tokens": tokens.get("total_tokens"),
    }
    return _priced(called.name or NO_NAME, called.provider, ModelUsage(**_counts(counted), requests=1), bool(tokens))


def call_of(message: AIMessage, called: CalledModel | None = None) -> ModelCall:
    """The call whose answer is this message.

    :param called: the model, if it is known from the start of the call.
    """
    tokens: Mapping[str, Any] = message.usage_metadata or {}
    details = tokens.get("input_token_details") or {}
    counts = _counts(tokens) | {
        "cache_read_tokens": _count(details.get("cache_read")),
        "cache_write_tokens": _count(details.get("cache_creation")),
    }
    about = message.response_metadata
    named = (about.get("model_name"), about.get("model"), called and called.name)
    name = next((one for one in named if isinstance(one, str) and one), NO_NAME)
    provider = about.get("model_provider") or (called and called.provider)
    used = ModelUsage(**counts, requests=1, tool_calls=len(message.tool_calls))
    if tokens.get("total_cost") == 0:  # from LangChain's cache
        return ModelCall(name, used.model_copy(update={"cost_usd": 0.0}), True, message.id)
    other = None if called is None else called.name
    return _priced(name, provider, used, bool(tokens), message.id, other)


def _priced(
    name: str,
    provider: Any,
    used: ModelUsage,
    is_reported: bool,
    message_id: str | None = None,
    other_name: str | None = None,
) -> ModelCall:
    """A call with its cost, if that can be known."""
    sold_by = provider if isinstance(provider, str) and provider else None
    cost = cost_usd(name, sold_by, used) if is_reported else None
    if cost is None and is_reported and other_name is not None:
        cost = cost_usd(other_name, sold_by, used)
    return ModelCall(name, used.model_copy(update={"cost_usd": cost}), is_reported, message_id)


def _counts(tokens: Mapping[str, Any]) -> dict[str, int]:
    counts = {name: _count(tokens.get(name)) for name in ("input_tokens", "output_tokens", "total_tokens")}
    return counts | {"total_tokens": max(counts["total_tokens"], counts["input_tokens"] + counts["output_tokens"])}


def _count(value: Any) -> int:
    """A model's count; one that is no number counts as nothing."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return min(max(0, int(value)), MOST_COUNTED)
