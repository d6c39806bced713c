"""What a worker writes to its log, whatever an event put into it."""

from __future__ import annotations

import json
import logging
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry import context, trace

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.telemetry import logs
from langgraph_worker.telemetry.logs import JsonFormatter, LineFormatter
from langgraph_worker.telemetry.run_labels import labels_of, run_labels
from tests.support.trace_claims import claim_of


def line(message: str, **extra: Any) -> str:
    fields = {"name": "n", "levelname": "INFO", "msg": message, "created": 0.0, "msecs": 0.0}
    record = logging.makeLogRecord({**fields, **extra})
    return LineFormatter().format(record)


def test_a_line_names_its_time_level_and_action():
    assert line("accepted it", action="accepted") == "1970-01-01T00:00:00.000Z INFO    [accepted] accepted it"
    assert line("hello").endswith("[n] hello")


CONTROLS = ["\x1b[31m", "\r", "\x00", "\x9b", "\u2028", "\x07", "\u202e", "\x85", "\ud800"]


@pytest.mark.parametrize("control", CONTROLS)
def test_what_steers_a_terminal_is_written_out(control):
    assert control not in line(f"task {control}evil")


def test_a_second_line_does_not_look_like_one_of_its_own():
    text = line("a\n2026-01-01T00:00:00.000Z INFO    [published] a lie")
    assert [one[:4] for one in text.splitlines()] == ["1970", "    "]


@pytest.mark.parametrize("control", [*CONTROLS, "\n2026-01-01T00:00:00.000Z INFO    [published] a lie", "\r\n2026-"])
def test_a_traceback_is_indented_lines_without_control_characters(control):
    try:
        raise ValueError(f"it{control}evil")
    except ValueError as error:
        failed = (type(error), error, error.__traceback__)
    first, *others = line("it failed", exc_info=failed, stack_info=f"Stack:\n2026{control}").split("\n")
    assert first.endswith("it failed")
    assert any("ValueError: it" in other for other in others)
    assert all(other.startswith("    ") and other.isprintable() for other in others)


def fields(message: str, **extra: Any) -> dict[str, Any]:
    record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": message, "created": 0.0, **extra})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert text.isascii()
    return json.loads(text)


def test_a_json_line_has_time_level_logger_action_and_what_it_reports():
    assert fields("finished", action="finished", status="success", duration=1.5) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "INFO",
        "logger": "n",
        "action": "finished",
        "message": "finished",
        "status": "success",
        "duration": 1.5,
    }


def test_a_json_line_of_a_graphs_own_code_names_the_run():
    labels = {"correlation_id": "c", "workflow_id": "dag", "workflow_run_id": "r", "graph": "g", "thread_id": "t"}

    def log() -> dict[str, Any]:
        run_labels.set(labels)
        return fields("a node's own line")

    found = copy_context().run(log)
    assert labels.items() <= found.items()
    assert "correlation_id" not in fields("outside of runs")


def test_a_json_line_of_a_traced_run_names_the_present_span_of_its_trace():
    span, node = (trace.NonRecordingSpan(trace.SpanContext(0xA, number, is_remote=False)) for number in (1, 2))
    labels = {"correlation_id": "c", "trace_id": f"{0xA:032x}", "span_id": f"{1:016x}"}

    def log(present: trace.Span) -> dict[str, Any]:
        run_labels.set(labels)
        context.attach(trace.set_span_in_context(present))
        return fields("a node's own line")

    found = copy_context().run(log, node)
    assert (found["trace_id"], found["span_id"]) == (f"{0xA:032x}", f"{2:016x}")
    foreign = trace.NonRecordingSpan(trace.SpanContext(0xB, 3, is_remote=False))
    assert copy_context().run(log, foreign)["span_id"] == f"{span.get_span_context().span_id:016x}"


def test_a_run_that_came_with_a_trace_names_it_also_where_nothing_is_traced():
    claim = claim_of(first_traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    assert labels_of(claim)["trace_id"] == "a" * 32
    assert "trace_id" not in labels_of(claim_of())
    assert labels_of(claim, {"trace_id": "c", "span_id": "d"})["trace_id"] == "c"


def test_a_json_line_holds_a_traceback_and_what_is_no_json():
    try:
        raise ValueError("it failed\n\x1b[31m")
    except ValueError as error:
        found = fields("oops", exc_info=(type(error), error, error.__traceback__), what=object)
    assert found["exception"].endswith("ValueError: it failed\n\x1b[31m")
    assert found["what"] == str(object)


def test_every_text_of_a_line_is_redacted(monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[str, str]] = []

    def hook(value: Any, place: str, path: str) -> Any:
        seen.append((place, path))
        return value.replace("Erika", "[name]") if isinstance(value, str) else value

    monkeypatch.setattr(logs, "_redactor", Redactor(["sk-12345678"], hook))
    try:
        raise ValueError("Erika has sk-12345678")
    except ValueError as error:
        failed = (type(error), error, error.__traceback__)
    about = {"customer": {"name": "Erika"}, "key": "sk-12345678", "exc_info": failed, "stack_info": "Stack: Erika"}
    for text in (line("it failed for Erika", **about), json.dumps(fields("it failed for Erika", **about))):
        assert "it failed for [name]" in text
        assert "ValueError: [name] has ***" in text
        assert "Stack: [name]" in text
        assert "Erika" not in text
        assert "sk-12345678" not in text
    assert {("log", "message"), ("log", "exception"), ("log", "stack"), ("log", "customer.name")} <= set(seen)


def test_a_line_whose_redaction_fails_is_written_without_its_content(monkeypatch: pytest.MonkeyPatch):
    def hook(value: Any, place: str, path: str) -> Any:
        raise ValueError(value)

    monkeypatch.setattr(logs, "_redactor", Redactor((), hook))
    note = "[not shown: the redaction hook of langgraph.json raised a ValueError]"
    assert line("Erika came", action="accepted") == f"1970-01-01T00:00:00.000Z INFO    [accepted] {note}"
