"""Spans as they are sent: their texts redacted, all else as it was."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.telemetry.traces.redacted_spans import RedactingExporter

SECRET = "sk-12345678"


def sent_with(hook: Any = None) -> tuple[Any, Any]:
    """A span as it was sent, and as it was made."""
    kept, sent = InMemorySpanExporter(), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(sent, Redactor([SECRET], hook))))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    link = Link(SpanContext(1, 2, is_remote=True), {"why": f"Erika {SECRET}"})
    span = provider.get_tracer("t", "1").start_span(f"call {SECRET}", kind=SpanKind.CLIENT, links=[link])
    messages = [{"role": "user", "content": f'"Erika" has {SECRET}', "pin": 7}]
    span.set_attributes(
        {
            "m": json.dumps(messages),
            "url": f"h?{SECRET}",
            "n": 5,
            "tags": ["Erika", SECRET],
            "f": [1.5],
            "pin": 7,
            "pins": [7, 8],
        }
    )
    span.add_event(f"e {SECRET}", {"text": f"Erika {SECRET}", "n": 1})
    span.set_status(Status(StatusCode.ERROR, f"Erika {SECRET}"))
    span.end()
    provider.shutdown()
    return sent.get_finished_spans()[0], kept.get_finished_spans()[0]


def test_texts_are_redacted_wherever_a_span_has_them() -> None:
    def hook(value: Any, place: str, path: str) -> Any:
        assert place == "trace"
        if path.endswith("pin"):
            return None
        if path == "pins":
            return "-"
        return value.replace("Erika", "[name]") if isinstance(value, str) else value

    sent, made = sent_with(hook)
    assert json.loads(sent.attributes["m"]) == [{"role": "user", "content": '"[name]" has ***', "pin": None}]
    assert (sent.name, sent.attributes["url"], sent.attributes["tags"]) == ("call ***", "h?***", ("[name]", "***"))
    assert (sent.attributes["n"], sent.attributes["f"]) == (5, (1.5,))
    assert dict(sent.events[0].attributes) == {"text": "[name] ***", "n": 1}
    assert ("pin" in sent.attributes, sent.attributes["pins"]) == (False, ("-", "-"))
    assert (sent.events[0].name, sent.links[0].context) == ("e ***", made.links[0].context)
    assert dict(sent.links[0].attributes) == {"why": "[name] ***"}
    assert sent.status.description == "[name] ***"
    same = ("context", "parent", "resource", "kind", "start_time", "end_time", "instrumentation_scope")
    assert all(getattr(sent, name) == getattr(made, name) for name in same)
    assert sent.events[0].timestamp == made.events[0].timestamp
    assert sent.status.status_code is StatusCode.ERROR


def test_spans_are_sent_whatever_the_hook_does() -> None:
    def hook(value: Any, place: str, path: str) -> Any:
        raise ValueError(value)

    sent, made = sent_with(hook)
    assert "Erika" not in f"{dict(sent.attributes)} {sent.status.description} {dict(sent.events[0].attributes)}"
    assert sent.context == made.context
