"""What a worker writes to its log, whatever an event put into it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
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
    about = {"name": "langgraph_worker.intake", "action": "accepted"}
    assert line("Erika came", **about) == f"1970-01-01T00:00:00.000Z INFO    [accepted] {note}"


def redacting(monkeypatch: pytest.MonkeyPatch) -> None:
    def hook(value: Any, place: str, path: str) -> Any:
        return None if path == "pin" else value

    monkeypatch.setattr(logs, "_redactor", Redactor(["sk-12345678"], hook))


class Odd:
    def __str__(self) -> str:
        raise ValueError("sk-12345678")

    __repr__ = __str__


def around_itself() -> dict[str, Any]:
    value: dict[str, Any] = {"key": "sk-12345678"}
    return value | {"self": [value, value.setdefault("self", value)]}


def test_numbers_and_names_that_a_graph_gives_a_line_are_redacted(monkeypatch: pytest.MonkeyPatch):
    redacting(monkeypatch)
    found = fields("came", pin=7731, action="sk-12345678", **{"sk-12345678": 1.5})
    assert (found["pin"], found["action"], found["***"]) == (None, "***", 1.5)
    assert "[***]" in line("came", action="sk-12345678")


@pytest.mark.parametrize("value", [around_itself(), {("a", "sk-12345678"): 1}, Odd(), {"odd": Odd()}])
def test_a_value_without_a_form_costs_no_line_and_shows_nothing(monkeypatch: pytest.MonkeyPatch, value: Any):
    redacting(monkeypatch)
    assert str(fields("came", what=value)["what"]).startswith("[not shown: it raised a")


def test_a_traceback_that_an_earlier_handler_has_formatted_is_redacted(monkeypatch: pytest.MonkeyPatch):
    redacting(monkeypatch)
    text = line("failed", exc_info=raised(), exc_text="ValueError: sk-12345678")
    assert "sk-12345678" not in text
    assert "ValueError: ***" in text
    assert "sk-12345678" not in line("failed", exc_text="ValueError: sk-12345678")


def raised() -> Any:
    try:
        raise ValueError("sk-12345678")
    except ValueError as error:
        return type(error), error, error.__traceback__


OUTPUT = """
import logging, sys, threading
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.telemetry.logs import log_uncaught, redact_logs, set_up_logging

def fail():
    raise ValueError("sk-" + "12345678")

class Ends:
    def __del__(self):
        fail()

set_up_logging("INFO", sys.argv[1])
redact_logs(Redactor(["sk-12345678"]))
log_uncaught()
logging.getLogger("author").error("%d of them", "sk-12345678")
thread = threading.Thread(target=fail, name="its-own")
thread.start()
thread.join()
ends = Ends()
del ends
fail()
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_python_itself_would_print_is_a_line_without_secrets(log_format: str):
    done = run_python(OUTPUT, log_format)
    assert done.returncode == 1
    assert "12345678" not in done.stderr.replace('"sk-" + "12345678"', "").replace('\\"sk-\\" + \\"12345678\\"', "")
    assert "a line of this logger cannot be written: it raised a TypeError (<string>, line" in done.stderr
    for where in ("in thread its-own", "when an object ended", "by the program"):
        assert f"an exception was not caught {where}" in done.stderr
    assert done.stderr.count("ValueError: ***") == 3
    if log_format == "json":
        assert all(json.loads(one) for one in done.stderr.splitlines())


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
