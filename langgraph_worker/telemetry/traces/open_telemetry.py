"""The starts of runs as spans of OpenTelemetry, sent in the background by what its environment variables name."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from langgraph_worker import __version__
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.telemetry.traces import gen_ai
from langgraph_worker.telemetry.traces.graph_spans import GraphSpans, SpanContent, plain
from langgraph_worker.telemetry.traces.port import StartEnd
from langgraph_worker.telemetry.traces.trace_ids import StartIds
from workflow_events.trace_context import TraceParent

logger = logging.getLogger(__name__)

SCOPE = "langgraph_worker"

_chosen: ContextVar[StartIds | None] = ContextVar("chosen_ids", default=None)


class ChosenIds(RandomIdGenerator):
    """Random ids, but for the span of a start, whose ids are computed."""

    def generate_span_id(self) -> int:
        """The id of a span that begins now."""
        ids = _chosen.get()
        return super().generate_span_id() if ids is None else int(ids.span_id, 16)

    def generate_trace_id(self) -> int:
        """The id of a trace whose first span begins now."""
        ids = _chosen.get()
        return super().generate_trace_id() if ids is None else int(ids.trace_id, 16)


def make_provider(worker_id: str) -> TracerProvider:
    """A provider of the worker's own. Sampler, limits and the names of the service come from the environment."""
    named = OTELResourceDetector().detect().attributes
    own = {SERVICE_NAME: "langgraph-worker", SERVICE_VERSION: __version__, SERVICE_INSTANCE_ID: worker_id}
    resource = Resource.create({name: value for name, value in own.items() if name not in named})
    return TracerProvider(resource=resource, id_generator=ChosenIds(), shutdown_on_exit=False)


def offer_as_global(provider: TracerProvider) -> None:
    """Let the spans of nodes go where the worker's go, unless the project has a provider of its own."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)


class OpenTelemetryTracing:
    """Traces runs as spans.

    :param provider: with :class:`ChosenIds`; it sends what it gets.
    """

    def __init__(self, provider: TracerProvider, content: SpanContent) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SCOPE, __version__)
        self._content = content

    def start(self, claim: Claim) -> StartSpan:
        """The span of a start. The first of a logical run without a trace of its own has no parent."""
        ids = StartIds.of_claim(claim)
        parent = Context() if ids.parent is None else set_span_in_context(NonRecordingSpan(_span_context(ids.parent)))
        links = [Link(_span_context(one)) for one in ids.links]
        token = _chosen.set(ids)
        try:
            span = self._tracer.start_span(
                f"invoke_workflow {claim.graph}",
                context=parent,
                kind=SpanKind.CONSUMER,
                attributes=plain(start_attributes(claim)),
                links=links,
            )
        finally:
            _chosen.reset(token)
        return StartSpan(self._tracer, span, self._content)

    def close(self) -> None:
        """Send what is left, and stop sending."""
        self._provider.shutdown()


class StartSpan:
    """One start of a run. See :class:`~langgraph_worker.telemetry.traces.port.StartTrace`."""

    def __init__(self, tracer: trace.Tracer, span: Span, content: SpanContent) -> None:
        self._span = span
        self._context = set_span_in_context(span, Context())
        self._graph = GraphSpans(tracer, self._context, content) if span.is_recording() else None

    @property
    def traceparent(self) -> str | None:
        """The span, for what the worker sends about the run."""
        found = self._span.get_span_context()
        return str(TraceParent(f"{found.trace_id:032x}", f"{found.span_id:016x}", int(found.trace_flags)))

    @property
    def labels(self) -> Mapping[str, str]:
        """The ids of the span."""
        found = self._span.get_span_context()
        return {"trace_id": f"{found.trace_id:032x}", "span_id": f"{found.span_id:016x}"}

    @property
    def handlers(self) -> Sequence[BaseCallbackHandler]:
        """What makes the spans below it; none, if the trace is not sampled."""
        return () if self._graph is None else (self._graph,)

    def enter(self) -> None:
        """Make it the present span."""
        contexts.attach(self._context)

    def end(self, end: StartEnd) -> None:
        """End it, after what is left of its nodes."""
        if not self._span.is_recording():
            return
        if self._graph is not None:
            self._graph.close()
        self._span.set_attributes({"langgraph.run.status": end.status, **gen_ai.total_attributes(end.used.values())})
        if end.error_type is not None:
            self._span.set_attribute("error.type", end.error_type)
            self._span.set_status(Status(StatusCode.ERROR, None if end.error is None else clean(end.error)))
        self._span.end()


def start_attributes(claim: Claim) -> dict[str, Any]:
    """What a start's span names of its run."""
    event = claim.event
    found: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": claim.graph,
        "gen_ai.conversation.id": claim.thread_id,
        "langgraph.run.logical_run": str(claim.logical_run),
        "langgraph.run.correlation_id": str(claim.correlation_id),
        "langgraph.run.start": claim.attempts,
        "langgraph.run.takeovers": claim.takeovers,
        "langgraph.run.round": event.round,
        "langgraph.run.workflow_id": event.workflow_id,
        "langgraph.run.workflow_run_id": event.workflow_run_id,
    }
    if claim.thread_name is not None:
        found["langgraph.thread.name"] = claim.thread_name
    if claim.release is not None:
        found["langgraph.run.release"] = claim.release
    if event.attempt is not None:  # Airflow's own spans have these
        found["airflow.dag_id"] = event.workflow_id
        found["airflow.dag_run.run_id"] = event.workflow_run_id
        found["airflow.task_instance.id"] = str(event.attempt.id)
        found["airflow.task_instance.try_number"] = event.attempt.try_number
    return found


def _span_context(other: TraceParent) -> SpanContext:
    return SpanContext(
        int(other.trace_id, 16), int(other.span_id, 16), is_remote=True, trace_flags=TraceFlags(other.flags)
    )
