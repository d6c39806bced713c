"""Spans as they may leave the process: redacted in the thread that sends them, where no run waits for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import AttributeValue
from pydantic import JsonValue

from langgraph_worker.domain.redaction import Redactor


class RedactingExporter(SpanExporter):
    """Sends spans by another exporter: the worker's own, and those that nodes and their libraries make."""

    def __init__(self, exporter: SpanExporter, redactor: Redactor) -> None:
        self._exporter = exporter
        self._redactor = redactor

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        return self._exporter.export([_redacted(span, self._redactor) for span in spans])

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is left."""
        return self._exporter.force_flush(timeout_millis)


def redacted_attributes(attributes: Mapping[str, AttributeValue], redactor: Redactor) -> dict[str, AttributeValue]:
    """Attributes with their texts and numbers redacted. One that the hook leaves out is not there."""
    found = {name: _attribute(name, value, redactor) for name, value in attributes.items()}
    return {name: value for name, value in found.items() if value is not None}


def _attribute(name: str, value: Any, redactor: Redactor) -> AttributeValue | None:
    if isinstance(value, str):
        return _text(name, value, redactor)
    if isinstance(value, Sequence):
        changed = [_plain(redactor.shown("trace", one, name)) for one in value]
        return value if changed == list(value) else tuple(map(str, changed))
    return _plain(redactor.shown("trace", value, name))


def _plain(value: JsonValue) -> str | bool | int | float | None:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _text(name: str, text: str, redactor: Redactor) -> str:
    """Messages, inputs and outputs are JSON in a text: their parts have paths."""
    if text[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return redactor.shown_text("trace", text, name)
        changed = redactor.shown("trace", value, name)
        return text if changed == value else json.dumps(changed)
    return redactor.shown_text("trace", text, name)


def _redacted(span: ReadableSpan, redactor: Redactor) -> ReadableSpan:
    events = [
        Event(redactor.masked(one.name), redacted_attributes(one.attributes or {}, redactor), one.timestamp)
        for one in span.events
    ]
    links = [Link(one.context, redacted_attributes(one.attributes or {}, redactor)) for one in span.links]
    described = span.status.description
    text = None if described is None else redactor.shown_text("trace", described, "status")
    return ReadableSpan(
        name=redactor.masked(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=redacted_attributes(span.attributes or {}, redactor),
        events=events,
        links=links,
        kind=span.kind,
        status=Status(span.status.status_code, text),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
