"""The starts of runs in Langfuse, by its own handler of LangChain's callbacks.

Its client gets a provider of its own: with a shared one, each of its spans would also go to OpenTelemetry's receiver,
and each of the worker's to Langfuse. Both have the same trace id.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langfuse import Langfuse
from langfuse.langchain import CallbackHandler
from langfuse.types import MaskOtelSpansParams, MaskOtelSpansResult, OtelSpanPatch
from langgraph.errors import GraphBubbleUp

from langgraph_worker.domain.exception_texts import described
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.telemetry.traces.graph_spans import SpanContent
from langgraph_worker.telemetry.traces.open_telemetry import make_provider
from langgraph_worker.telemetry.traces.port import StartEnd
from langgraph_worker.telemetry.traces.redacted_spans import redacted_attributes
from langgraph_worker.telemetry.traces.trace_ids import StartIds

_CONTENT = (
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
)


_MOST_SESSION_CHARACTERS = 200


class LangfuseTracing:
    """Traces runs in Langfuse.

    :param public_key: of the client, by which handlers find it: a project may have others.
    """

    def __init__(
        self, client: Langfuse, public_key: str, content: SpanContent, redactor: Redactor | None = None
    ) -> None:
        self._client = client
        self._public_key = public_key
        self._content = content
        self._redactor = redactor or Redactor()

    @classmethod
    def from_environment(cls, worker_id: str, content: SpanContent, redactor: Redactor | None = None) -> Self:
        """A client whose keys and server are in the environment variables that Langfuse reads."""
        redactor = redactor or Redactor()
        mask = None if content.messages and redactor.changes_nothing else _mask(content, redactor)
        client = Langfuse(tracer_provider=make_provider(worker_id), mask_otel_spans=mask)
        return cls(client, os.environ["LANGFUSE_PUBLIC_KEY"], content, redactor)

    def start(self, claim: Claim) -> LangfuseStart:
        """A start in the trace of its logical run."""
        return LangfuseStart(claim, self._public_key, self._content, self._redactor)

    def close(self) -> None:
        """Send what is left, and stop sending."""
        self._client.shutdown()


def _mask(content: SpanContent, redactor: Redactor) -> Callable[..., MaskOtelSpansResult]:
    """What leaves the prompts and answers out of what is sent, unless they are wanted, and redacts the rest."""
    deleted = () if content.messages else _CONTENT

    def mask(*, params: MaskOtelSpansParams) -> MaskOtelSpansResult:
        patches: dict[Any, OtelSpanPatch] = {}
        for span, data in params.spans.items():
            kept = {name: value for name, value in data.attributes.items() if name not in deleted}
            redacted = redacted_attributes(kept, redactor)
            changed: Any = {name: value for name, value in redacted.items() if value != kept[name]}
            gone = tuple(kept.keys() - redacted.keys())
            patches[span] = OtelSpanPatch(set_attributes=changed, delete_attributes=(*deleted, *gone))
        return MaskOtelSpansResult(span_patches=patches)

    return mask


class _Unsaid(Exception):
    """Stands for an exception of which only the type is sent, or a text that was redacted."""


class _Stopped(GraphBubbleUp):
    """Stands for a question, whose text is not sent."""


class LangfuseStart:
    """One start of a run. See :class:`~langgraph_worker.telemetry.traces.port.StartTrace`."""

    traceparent: str | None = None

    def __init__(self, claim: Claim, public_key: str, content: SpanContent, redactor: Redactor) -> None:
        ids = StartIds.of_claim(claim)
        self.labels: Mapping[str, str] = {"trace_id": ids.trace_id}
        self.handlers: Sequence[BaseCallbackHandler] = (_RunHandler(public_key, ids, _about(claim), content, redactor),)

    def enter(self) -> None:
        """Nothing: its spans are found by LangChain's ids."""

    def end(self, end: StartEnd) -> None:
        """Nothing: its handler has seen the graph end."""


class _RunHandler(CallbackHandler):
    """Langfuse's handler, for a graph whose metadata does not hold Langfuse's names: they would be stored."""

    def __init__(
        self, public_key: str, ids: StartIds, about: Mapping[str, Any], content: SpanContent, redactor: Redactor
    ) -> None:
        super().__init__(public_key=public_key, trace_context={"trace_id": ids.trace_id, "parent_span_id": ids.span_id})
        self._about = about
        self._content = content
        self._redactor = redactor

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A part of the graph begins; the first is the graph itself."""
        if parent_run_id is None:
            metadata = {**(metadata or {}), **self._about}
        return super().on_chain_start(
            serialized,
            inputs,
            run_id=run_id,
            parent_run_id=parent_run_id,
            tags=tags,
            metadata=metadata,
            **kwargs,
        )

    def on_chain_error(self, error: BaseException, **rest: Any) -> None:
        """A part of the graph raised, or asks a person."""
        super().on_chain_error(self._sendable(error), **rest)

    def on_tool_error(self, error: BaseException, **rest: Any) -> Any:
        """A tool raised."""
        return super().on_tool_error(self._sendable(error), **rest)

    def on_retriever_error(self, error: BaseException, **rest: Any) -> Any:
        """A retriever raised."""
        return super().on_retriever_error(self._sendable(error), **rest)

    def on_llm_error(self, error: BaseException, **rest: Any) -> Any:
        """A call of a model failed."""
        return super().on_llm_error(self._sendable(error), **rest)

    def _sendable(self, error: BaseException) -> BaseException:
        """What may leave this worker of an exception. The client sends its text in a span's status, past any mask."""
        if isinstance(error, GraphBubbleUp):
            text = str(error)
            if self._content.messages and self._redactor.shown_text("trace", text, "status") == text:
                return error
            return _Stopped(type(error).__name__)
        if not self._content.exception_texts:
            return _Unsaid(described(error, with_text=False))
        said = described(error, with_text=True)
        text = self._redactor.shown_text("trace", said, "status")
        return error if text == said else _Unsaid(text)


def _session(claim: Claim) -> str:
    """The thread's name, if Langfuse takes it: up to 200 characters of ASCII; else its id."""
    name = claim.thread_name
    return name if name and name.isascii() and len(name) <= _MOST_SESSION_CHARACTERS else claim.thread_id


def _about(claim: Claim) -> dict[str, Any]:
    event = claim.event
    return {
        "langfuse_session_id": _session(claim),
        "langfuse_trace_name": claim.graph,
        "langfuse_tags": [f"graph:{claim.graph}", f"workflow:{event.workflow_id}", *event.config.tags],
        "correlation_id": str(claim.correlation_id),
        "start": claim.attempts,
        "takeovers": claim.takeovers,
    }
