"""OpenTelemetry's attributes of models, messages and tools (its GenAI conventions), from what LangChain reports.

The names are written out: the conventions are in development, and the package that holds them renames them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langgraph_worker.telemetry.usage import CalledModel, ModelCall, call_in
from workflow_events.results import ModelUsage

Attributes = dict[str, Any]

_PROVIDERS = {
    "amazon_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
}
"""LangChain's names of providers that the conventions name otherwise."""
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}
_ASKED = {
    "ls_temperature": "gen_ai.request.temperature",
    "ls_max_tokens": "gen_ai.request.max_tokens",
    "ls_stop": "gen_ai.request.stop_sequences",
}
_OWN_IDS = ("lc_", "run-")  # of LangChain, where a provider gives none
_END_REASONS = ("finish_reason", "done_reason", "stop_reason")


def request_attributes(operation: str, model: CalledModel, metadata: Mapping[str, Any]) -> Attributes:
    """What is known of a call before the model answers."""
    found: Attributes = {"gen_ai.operation.name": operation}
    if model.provider is not None:
        found["gen_ai.provider.name"] = _PROVIDERS.get(model.provider, model.provider)
    if model.name is not None:
        found["gen_ai.request.model"] = model.name
    for theirs, name in _ASKED.items():
        if isinstance(value := metadata.get(theirs), int | float | list):
            found[name] = value
    return found


def response_attributes(response: LLMResult, called: CalledModel) -> Attributes:
    """What is known of a call when the model has answered."""
    call = call_in(response, called)
    found: Attributes = {"gen_ai.response.model": call.model} if call.model != "unknown" else {}
    found |= _usage(call)
    message = _message_in(response)
    if message is not None:
        about = message.response_metadata
        reasons = [about[name] for name in _END_REASONS if isinstance(about.get(name), str)]
        if reasons:
            found["gen_ai.response.finish_reasons"] = reasons[:1]
        if message.id and not message.id.startswith(_OWN_IDS):
            found["gen_ai.response.id"] = message.id
    return found


def _usage(call: ModelCall) -> Attributes:
    if not call.is_reported:
        return {}
    used = call.used
    found: Attributes = {
        "gen_ai.usage.input_tokens": used.input_tokens,
        "gen_ai.usage.output_tokens": used.output_tokens,
    }
    if used.cache_read_tokens:
        found["gen_ai.usage.cache_read.input_tokens"] = used.cache_read_tokens
    if used.cache_write_tokens:
        found["gen_ai.usage.cache_creation.input_tokens"] = used.cache_write_tokens
    return found


def total_attributes(used: Iterable[ModelUsage]) -> Attributes:
    """What a start has spent in sum. Under names of their own: a sum over all spans would count its calls twice."""
    models = list(used)
    if not models:
        return {}
    found: Attributes = {
        "gen_ai.aggregated_usage.input_tokens": sum(one.input_tokens for one in models),
        "gen_ai.aggregated_usage.output_tokens": sum(one.output_tokens for one in models),
        "gen_ai.aggregated_usage.cache_read.input_tokens": sum(one.cache_read_tokens for one in models),
    }
    costs = [one.cost_usd for one in models]
    if all(cost is not None for cost in costs):  # an unknown price is no price of 0
        found["langgraph.run.cost_usd"] = sum(cost for cost in costs if cost is not None)
    return found


def input_content(messages: Sequence[Any]) -> Attributes:
    """The prompt of a call: messages, or a text."""
    return {"gen_ai.input.messages": _as_json([_as_message(one) for one in messages])}


def output_content(response: LLMResult) -> Attributes:
    """The answer of a call."""
    generations = [one for some in response.generations for one in some]
    answers = [one.message if isinstance(one, ChatGeneration) else one.text for one in generations]
    return {"gen_ai.output.messages": _as_json([_as_message(one, "assistant") for one in answers])}


def _message_in(response: LLMResult) -> BaseMessage | None:
    generation = next((one for some in response.generations for one in some), None)
    return generation.message if isinstance(generation, ChatGeneration) else None


def _as_message(message: Any, role: str = "user") -> dict[str, Any]:
    if not isinstance(message, BaseMessage):
        return {"role": role, "parts": [{"type": "text", "content": str(message)}]}
    if isinstance(message, ToolMessage):
        part = {"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}
        return {"role": "tool", "parts": [part]}
    parts = [{"type": "text", "content": text}] if (text := message.text) else []
    for call in getattr(message, "tool_calls", ()):
        asked = {"id": call.get("id"), "name": call.get("name"), "arguments": call.get("args")}
        parts.append({"type": "tool_call", **asked})
    return {"role": _ROLES.get(message.type, message.type), "parts": parts}


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str)
