"""Which variables turn traces on, and what is said of those that have no effect."""

from __future__ import annotations

import logging

import pytest

from langgraph_worker.telemetry.traces import make_tracing as module
from langgraph_worker.telemetry.traces.make_tracing import make_tracing, trace_targets
from langgraph_worker.telemetry.traces.port import NO_TRACE, NoTracing
from tests.support.trace_claims import claim_of

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@pytest.mark.parametrize(
    ("environ", "exporters"),
    [
        ({}, ()),
        ({"OTEL_SERVICE_NAME": "x"}, ()),
        (ENDPOINT, ("otlp_proto_http",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, ("otlp_proto_http",)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("otlp_proto_http",)),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_http"}, ("otlp_proto_http",)),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ("otlp_proto_http", "console")),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ("otlp_proto_http",)),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, ()),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, ()),
    ],
)
def test_opentelemetrys_own_variables_decide(environ, exporters):
    found = trace_targets(environ)
    assert (found.exporters, found.problems) == (exporters, ())


@pytest.mark.parametrize(
    ("environ", "is_on"),
    [
        ({}, False),
        (KEYS, True),
        ({**KEYS, "LANGFUSE_TRACING_ENABLED": "False"}, False),
        ({**KEYS, "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_langfuse_is_on_when_its_keys_are_set(environ, is_on):
    found = trace_targets(environ)
    assert (found.langfuse, found.problems) == (is_on, ())


def test_one_key_alone_is_said():
    (problem,) = trace_targets({"LANGFUSE_PUBLIC_KEY": "pk"}).problems
    assert problem == "Langfuse gets no traces: LANGFUSE_SECRET_KEY is not set. Set it, or neither of the two keys"


def test_a_missing_package_is_said_with_its_remedy(monkeypatch):
    monkeypatch.setattr(module, "_is_installed", lambda name: False)
    found = trace_targets({**ENDPOINT, **KEYS})
    assert (found.exporters, found.langfuse) == ((), False)
    assert found.problems == (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the package opentelemetry-sdk is missing. Install "
        "airflow-provider-langgraph[tracing]",
        "LANGFUSE_PUBLIC_KEY is set, but the package langfuse is missing. Install airflow-provider-langgraph[langfuse]",
    )


def test_an_exporter_that_nothing_brings_is_said():
    found = trace_targets({"OTEL_TRACES_EXPORTER": "zipkin"})
    assert found.exporters == ()
    assert found.problems[0].startswith("OTEL_TRACES_EXPORTER asks for the exporter zipkin, which is not installed.")


@pytest.mark.parametrize(
    ("value", "is_on"),
    [("", False), ("false", False), ("NO_CONTENT", False), ("EVENT_ONLY", False), ("true", True), ("SPAN_ONLY", True)],
)
def test_prompts_and_answers_are_off_until_the_conventions_switch_says_otherwise(value, is_on):
    assert trace_targets({**ENDPOINT, CAPTURE: value}).content is is_on


def test_where_nothing_is_set_nothing_is_traced():
    tracing = make_tracing(trace_targets({}), "w1", exception_texts=True)
    assert isinstance(tracing, NoTracing)
    assert tracing.start(claim_of()) is NO_TRACE


def test_a_header_that_cannot_be_read_is_not_logged(monkeypatch, caplog):
    for name, value in {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "a-token-without-a-name"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("langgraph_worker.telemetry.traces.open_telemetry.offer_as_global", lambda provider: None)
    with caplog.at_level(logging.WARNING):
        make_tracing(trace_targets(), "w1", exception_texts=True).close()
    assert "OTEL_EXPORTER_OTLP_HEADERS: an entry has not the form NAME=VALUE" in caplog.text
    assert "a-token" not in caplog.text
