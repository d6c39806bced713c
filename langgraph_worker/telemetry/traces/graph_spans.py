"""A graph's nodes, agents, models and tools as spans of its run's trace, from LangChain's callbacks.

OpenTelemetry's own instrumentation of LangChain has no span for a node, begins a new trace for each resumption, and
takes two thirds of the throughput of a small graph (measured with 1.3b0). So the worker brings its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp
from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_current_span, set_span_in_context

from langgraph_worker.domain.exception_texts import described, type_name
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.telemetry.traces import gen_ai
from langgraph_worker.telemetry.traces.present_span import PresentSpan, present_span
from langgraph_worker.telemetry.usage import CalledModel

_NODE_TAG = "graph:step:"  # LangGraph's, of the run of a node


@dataclass(frozen=True, slots=True)
class SpanContent:
    """What spans may hold of a run's data.

    :param messages: prompts and answers of models, arguments and results of tools.
    :param exception_texts: the text of a graph's exception; else its type alone.
    """

    messages: bool = False
    exception_texts: bool = True


@dataclass(frozen=True, slots=True)
class _Open:
    """A span that has begun.

    :param span: None: this part of the graph has none.
    :param parent: what is below it where the present span is not of this trace.
    :param standing: for it, in the context of its body; None: it was not made the present one.
    :param agent: the name of the agent that it is, or is part of.
    :param model: that is called.
    """

    span: Span | None
    parent: Span
    standing: PresentSpan | None = None
    agent: str | None = None
    model: CalledModel | None = None


class GraphSpans(BaseCallbackHandler):
    """Hears of one start of a run. The methods are called from the event loop, and from the threads of nodes.

    What a node does itself with OpenTelemetry is below the node: its span is the present one while it runs. A span is
    below the present one, if that is of this trace; else, in a thread without the node's context, below the span of
    LangChain's parent.
    """

    run_inline = True  # else a hop to a thread for each, and another context than the node's

    def __init__(self, tracer: Tracer, start: Context, content: SpanContent) -> None:
        self._tracer = tracer
        self._start = start
        self._trace_id = get_current_span(start).get_span_context().trace_id
        self._content = content
        self._open: dict[UUID, _Open] = {}

    @property
    def ignore_retriever(self) -> bool:
        """They have no span."""
        return True

    @property
    def ignore_custom_event(self) -> bool:
        """Neither have these."""
        return True

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """A node, a graph, or another part of a node begins."""
        about, name = metadata or {}, rest.get("name")
        node, agent = about.get("langgraph_node"), about.get("lc_agent_name")
        around = None if parent_run_id is None else self._open.get(parent_run_id)
        if node is not None and node == name and any(tag.startswith(_NODE_TAG) for tag in tags or ()):
            attributes = {"langgraph.node": node, "langgraph.step": about.get("langgraph_step", 0)}
            span = self._begin(f"node {node}", around, SpanKind.INTERNAL, attributes)
            self._enter(run_id, span, around.agent if around else None)
        elif isinstance(agent, str) and (name == agent or around is None) and (around is None or around.agent != agent):
            attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent}
            self._enter(run_id, self._begin(f"invoke_agent {agent}", around, SpanKind.INTERNAL, attributes), agent)
        elif around is not None:
            self._open[run_id] = _Open(None, around.parent, agent=around.agent)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """It is over."""
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """It raised; or it asks a person, or hands over to another part of the graph."""
        self._fail(run_id, error)

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Sequence[Sequence[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """A chat model is called."""
        self._call(
            "chat", serialized, [one for some in messages for one in some], run_id, parent_run_id, metadata, rest
        )

    def on_llm_start(
        self,
        serialized: Any,
        prompts: Sequence[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """A model of the older kind is called."""
        self._call("text_completion", serialized, prompts, run_id, parent_run_id, metadata, rest)

    def _call(
        self,
        operation: str,
        serialized: Any,
        prompt: Sequence[Any],
        run_id: UUID,
        parent_run_id: UUID | None,
        metadata: Mapping[str, Any] | None,
        rest: Mapping[str, Any],
    ) -> None:
        model = CalledModel.from_start(serialized, metadata, rest)
        attributes = gen_ai.request_attributes(operation, model, metadata or {})
        if self._content.messages:
            attributes |= gen_ai.input_content(prompt)
        around = None if parent_run_id is None else self._open.get(parent_run_id)
        span = self._begin(f"{operation} {model.name or ''}".rstrip(), around, SpanKind.CLIENT, attributes)
        # Not the present one: a stream is read by the node, which may do other things between two tokens.
        self._open[run_id] = _Open(span, span, model=model)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """A model has answered."""
        self._answered(run_id, response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, response: Any = None, **_: Any) -> None:
        """A call failed; or the node left a stream before its end: then the model has answered."""
        if isinstance(error, GeneratorExit):
            self._answered(run_id, response)
        else:
            self._fail(run_id, error)

    def _answered(self, run_id: UUID, response: Any) -> None:
        opened = self._open.get(run_id)
        if opened is not None and opened.span is not None and opened.model and isinstance(response, LLMResult):
            attributes = gen_ai.response_attributes(response, opened.model)
            if self._content.messages:
                attributes |= gen_ai.output_content(response)
            opened.span.set_attributes(plain(attributes))
        self._end(run_id)

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **rest: Any
    ) -> None:
        """A tool is called."""
        name = str(rest.get("name") or (serialized or {}).get("name") or "unknown")
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
        }
        if call := rest.get("tool_call_id"):
            attributes["gen_ai.tool.call.id"] = str(call)
        if self._content.messages:
            attributes["gen_ai.tool.call.arguments"] = input_str
        around = None if parent_run_id is None else self._open.get(parent_run_id)
        span = self._begin(f"execute_tool {name}", around, SpanKind.INTERNAL, attributes)
        self._enter(run_id, span, around.agent if around else None)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """A tool has answered."""
        opened = self._open.get(run_id)
        if opened is not None and opened.span is not None and self._content.messages:
            opened.span.set_attribute("gen_ai.tool.call.result", clean(str(getattr(output, "content", output))))
        self._end(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A tool raised."""
        self._fail(run_id, error)

    def close(self) -> None:
        """End what is left: of nodes that were stopped, or that are still at work."""
        for run_id in list(self._open):
            opened = self._open.get(run_id)
            if opened is not None and opened.span is not None:
                opened.span.set_attribute("langgraph.outcome", "stopped")
            self._end(run_id)

    def _begin(self, name: str, around: _Open | None, kind: SpanKind, attributes: Mapping[str, Any]) -> Span:
        context: Context | None = None  # the present one
        if get_current_span().get_span_context().trace_id != self._trace_id:
            context = self._start if around is None else set_span_in_context(around.parent, self._start)
        return self._tracer.start_span(printable(name), context, kind, plain(attributes))

    def _enter(self, run_id: UUID, span: Span, agent: str | None) -> None:
        standing = PresentSpan(span, present_span())
        contexts.attach(set_span_in_context(standing))
        self._open[run_id] = _Open(span, span, standing, agent)

    def _end(self, run_id: UUID) -> None:
        opened = self._open.pop(run_id, None)
        if opened is None or opened.span is None:
            return
        if opened.standing is not None:
            opened.standing.give_way()
        opened.span.end()

    def _fail(self, run_id: UUID, error: BaseException) -> None:
        opened = self._open.get(run_id)
        if opened is not None and opened.span is not None:
            note_error(opened.span, error, self._content)
        self._end(run_id)


def plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes, without text that no exporter can encode: it would drop the spans beside it, too."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in attributes.items()}


def printable(text: str) -> str:
    """The text, as every exporter can encode it."""
    return text if text.isascii() else clean(text)


def note_error(span: Span, error: BaseException, content: SpanContent) -> None:
    """Give a span the outcome that an exception stands for. A question and a stop are no errors."""
    if isinstance(error, GraphBubbleUp):
        span.set_attribute("langgraph.outcome", "interrupted")
    elif isinstance(error, asyncio.CancelledError):
        span.set_attribute("langgraph.outcome", "stopped")
    else:
        span.set_attribute("error.type", type_name(error))
        span.set_status(Status(StatusCode.ERROR, clean(described(error, with_text=content.exception_texts))))
