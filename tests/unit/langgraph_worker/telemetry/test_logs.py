"""What a worker writes to its log, whatever an event put into it."""

from __future__ import annotations

import logging

import pytest

from langgraph_worker.telemetry.logs import LineFormatter


def line(message: str, **extra: str) -> str:
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
