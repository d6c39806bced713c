from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time import task_runner
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from airflow_provider_langgraph.airflow_compat.trace_context import trace_id_of, traceparent_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CARRIED = f"00-{'c' * 32}-{'d' * 16}-01"


class Span:
    def __init__(self, recording=True, trace=int(TRACE, 16), span=int(SPAN, 16), flags=1):
        self.context = SimpleNamespace(trace_id=trace, span_id=span, trace_flags=flags)
        self.recording = recording

    def is_recording(self):
        return self.recording

    def get_span_context(self):
        return self.context


@pytest.fixture
def current(monkeypatch):
    def current(span):
        monkeypatch.setitem(sys.modules, "opentelemetry.trace", SimpleNamespace(get_current_span=lambda: span))

    return current


@pytest.fixture
def tracing_is_on(monkeypatch):
    monkeypatch.setenv("AIRFLOW__TRACES__OTEL_ON", "True")


def ti(carrier=None):
    return SimpleNamespace(context_carrier=carrier)


def test_a_span_that_is_recorded_is_the_tasks(current):
    current(Span())
    assert traceparent_of(ti({"traceparent": CARRIED})) == f"00-{TRACE}-{SPAN}-01"


def test_a_carrier_alone_is_none_where_tracing_is_off(current):
    # Airflow 3.2 gives every task a carrier with the flag "sampled", and a span that is never recorded.
    current(Span(recording=False))
    assert traceparent_of(ti({"traceparent": CARRIED})) is None


@pytest.mark.usefixtures("tracing_is_on")
def test_where_tracing_is_on_a_span_that_is_not_sampled_is_passed_on(current):
    current(Span(recording=False, flags=0))
    assert traceparent_of(ti({"traceparent": CARRIED})) == f"00-{TRACE}-{SPAN}-00"


@pytest.mark.usefixtures("tracing_is_on")
def test_the_carrier_counts_where_the_process_has_no_span(current):
    current(Span(recording=False, trace=0, span=0, flags=0))  # OpenTelemetry's invalid span, as in Airflow 3.1
    assert traceparent_of(ti({"traceparent": CARRIED})) == CARRIED


@pytest.mark.usefixtures("tracing_is_on")
def test_without_opentelemetry_the_carrier_is_read_all_the_same(monkeypatch):
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    assert traceparent_of(ti({"traceparent": CARRIED})) == CARRIED
    assert "opentelemetry.trace" not in sys.modules


@pytest.mark.usefixtures("tracing_is_on")
@pytest.mark.parametrize(
    "carrier",
    [
        None,
        {},
        "00-",
        {"traceparent": None},
        {"traceparent": CARRIED.upper()},
        {"traceparent": f"{CARRIED}\r\nx: y"},
        {"traceparent": f"00-{'0' * 32}-{'d' * 16}-01"},
        {"traceparent": f"00-{'c' * 32}-{'0' * 16}-01"},
        {"traceparent": f"01-{'c' * 32}-{'d' * 16}-01"},
        {"traceparent": "x" * 100_000},
    ],
)
def test_what_has_not_w3cs_form_is_left_out(current, carrier):
    current(Span(recording=False, trace=0, span=0, flags=0))
    assert traceparent_of(ti(carrier)) is None


def test_a_task_instance_without_a_carrier_has_no_trace():
    assert traceparent_of(SimpleNamespace()) is None


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-03", TRACE),
        (f"00-{TRACE}-{SPAN}-00", None),
        (f"00-{TRACE}-{SPAN}-02", None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_only_a_recorded_trace_can_be_looked_at(traceparent, trace):
    assert trace_id_of(traceparent) == trace


def test_it_is_what_opentelemetry_itself_would_write():
    carrier: dict[str, str] = {}
    with TracerProvider().get_tracer("test").start_as_current_span("worker.agent"):
        TraceContextTextMapPropagator().inject(carrier)
        assert traceparent_of(ti()) == carrier["traceparent"]
    assert traceparent_of(ti()) is None


def test_the_span_that_airflow_makes_where_tracing_is_off_is_none():
    carrier = {"traceparent": CARRIED}
    task = SimpleNamespace(task_id="t", map_index=-1, dag_id="d", run_id="r", try_number=1, context_carrier=carrier)
    with task_runner._make_task_span(SimpleNamespace(ti=task)):
        assert traceparent_of(task) is None
