"""Whether a worker traces its runs, and where to: what the environment variables of OpenTelemetry and Langfuse say."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.telemetry.traces.port import Both, NoTracing, Tracing

if TYPE_CHECKING:
    from langgraph_worker.telemetry.traces.graph_spans import SpanContent

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_KEYS = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURED = frozenset({"true", "1", "span_only", "span_and_event"})
_EXPORTERS = "opentelemetry_traces_exporter"
_READS_HEADERS = "opentelemetry.util.re"
"""The logger that repeats a header of OTEL_EXPORTER_OTLP_HEADERS which it cannot read: a token, perhaps."""
_BY_PROTOCOL = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


@dataclass(frozen=True, slots=True)
class TraceTargets:
    """Where traces go.

    :param exporters: names of OpenTelemetry's exporters.
    :param langfuse: whether Langfuse's keys are set.
    :param content: whether prompts and answers are in them.
    :param problems: why something that is set has no effect, a sentence each.
    """

    exporters: tuple[str, ...] = ()
    langfuse: bool = False
    content: bool = False
    problems: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """For the log; empty if there are none."""
        return ", ".join([*self.exporters, *(["langfuse"] if self.langfuse else [])])

    @property
    def content_in_words(self) -> str:
        """Whether prompts and answers are in them, for a person."""
        return f"{'with' if self.content else 'without'} prompts and answers"


def trace_targets(environ: Mapping[str, str] | None = None) -> TraceTargets:
    """What is set, and what of that can be used. Never raises: a worker without its traces does its work.

    :param environ: None: this process's.
    """
    values = {name: value.strip() for name, value in (os.environ if environ is None else environ).items()}
    exporters, problems = _exporters(values)
    # Langfuse's client sends by OpenTelemetry's SDK.
    is_off = _is_disabled(values) or _says_no(values.get("LANGFUSE_TRACING_ENABLED"))
    langfuse = all(values.get(key) for key in _KEYS) and not is_off
    if langfuse and not _is_installed("langfuse"):
        problems.append(f"{_KEYS[0]} is set, but the package langfuse is missing. {_remedy('langfuse')}")
        langfuse = False
    elif any(values.get(key) for key in _KEYS) and not all(values.get(key) for key in _KEYS):
        missing = next(key for key in _KEYS if not values.get(key))
        problems.append(f"Langfuse gets no traces: {missing} is not set. Set it, or neither of the two keys")
    content = values.get(_CAPTURE, "").lower() in _CAPTURED
    return TraceTargets(tuple(exporters), langfuse, content, tuple(problems))


def _exporters(values: Mapping[str, str]) -> tuple[list[str], list[str]]:
    named = values.get("OTEL_TRACES_EXPORTER", "")
    endpoint = next((name for name in _ENDPOINTS if values.get(name)), None)
    if _is_disabled(values) or not (named or endpoint):
        return [], []
    names = [name.strip() for name in (named or "otlp").split(",")]
    wanted = [_exporter_name(name, values) for name in names if name not in ("", "none")]
    if not wanted:
        return [], []
    cause = "OTEL_TRACES_EXPORTER" if named else endpoint
    if not _is_installed("opentelemetry.sdk"):
        return [], [f"{cause} is set, but the package opentelemetry-sdk is missing. {_remedy('tracing')}"]
    usable = [name for name in wanted if entry_points(group=_EXPORTERS, name=name)]
    problems = [
        f"{cause} asks for the exporter {name}, which is not installed. {_remedy('tracing')} for otlp_proto_http "
        "(OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf), or install the package that has it"
        for name in wanted
        if name not in usable
    ]
    return usable, problems


def _is_disabled(values: Mapping[str, str]) -> bool:
    return values.get("OTEL_SDK_DISABLED", "").lower() == "true"


def _exporter_name(name: str, values: Mapping[str, str]) -> str:
    if name != "otlp":
        return name
    protocol = next((values[one] for one in _PROTOCOLS if values.get(one)), "http/protobuf")
    return _BY_PROTOCOL.get(protocol, protocol)


def _remedy(extra: str) -> str:
    return f"Install airflow-provider-langgraph[{extra}]"


def _says_no(value: str | None) -> bool:
    return (value or "").lower() in ("false", "0")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def make_tracing(
    targets: TraceTargets, worker_id: str, *, exception_texts: bool, redactor: Redactor | None = None
) -> Tracing:
    """Tracing to these targets. Call it when the graphs are loaded: a project's own provider of traces stays its own.

    :param redactor: what changes the texts in them.
    :raises Exception: an exporter refuses what is set for it.
    """
    if not targets.exporters and not targets.langfuse:
        return NoTracing()
    from langgraph_worker.telemetry.traces.graph_spans import SpanContent

    logging.getLogger(_READS_HEADERS).addFilter(_hide_header)
    content = SpanContent(targets.content, exception_texts)
    redactor = redactor or Redactor()
    langfuse = _langfuse(worker_id, content, redactor) if targets.langfuse else NoTracing()
    if not targets.exporters:
        return langfuse
    spans = _open_telemetry(targets, worker_id, content, redactor)
    return Both(spans, langfuse) if targets.langfuse else spans


def _hide_header(record: logging.LogRecord) -> bool:
    record.msg = (
        "OTEL_EXPORTER_OTLP_HEADERS: an entry has not the form NAME=VALUE, with other characters written as %XX; it is "
        "left out"
    )
    record.args = ()
    return True


def _open_telemetry(targets: TraceTargets, worker_id: str, content: SpanContent, redactor: Redactor) -> Tracing:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from langgraph_worker.telemetry.traces.open_telemetry import OpenTelemetryTracing, make_provider, offer_as_global
    from langgraph_worker.telemetry.traces.redacted_spans import RedactingExporter

    provider = make_provider(worker_id)
    for name in targets.exporters:
        (found, *_) = entry_points(group=_EXPORTERS, name=name)
        exporter: Any = found.load()
        sender = exporter() if redactor.changes_nothing else RedactingExporter(exporter(), redactor)
        provider.add_span_processor(BatchSpanProcessor(sender))
    offer_as_global(provider)
    return OpenTelemetryTracing(provider, content)


def _langfuse(worker_id: str, content: SpanContent, redactor: Redactor) -> Tracing:
    from langgraph_worker.telemetry.traces.langfuse_runs import LangfuseTracing

    return LangfuseTracing.from_environment(worker_id, content, redactor)
