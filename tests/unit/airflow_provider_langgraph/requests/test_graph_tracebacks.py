"""What a task's log says of a graph that raised."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_langgraph.exceptions import RunError
from airflow_provider_langgraph.requests.outcome import return_value
from workflow_events.results import ResultStatus, WorkflowResultEvent

TRACE = """\
Traceback (most recent call last; only the graph's own code):
  File "agent.py", line 12, in count
    return {"n": len(state["text"])}
KeyError: 'text'"""


def logged(caplog: pytest.LogCaptureFixture, **fields: Any) -> list[str]:
    result = WorkflowResultEvent(
        correlation_id=uuid4(), workflow_id="dag", workflow_run_id="run", status=ResultStatus.FAILURE, **fields
    )
    with pytest.raises(RunError):
        return_value(result, "json", {}, logging.getLogger("task"))
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def test_the_graphs_own_frames_are_in_the_tasks_log(caplog: pytest.LogCaptureFixture) -> None:
    (text,) = logged(caplog, error="node 'count': KeyError: 'text'", error_type="KeyError", traceback=TRACE)
    first, *frames = text.split("\n")
    assert first == "The agent's graph raised KeyError. Traceback (most recent call last; only the graph's own code):"
    assert frames == [f"    {line}" for line in TRACE.split("\n")[1:]]


def test_an_earlier_workers_answer_has_none(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, error="node 'count': KeyError: 'text'", error_type="KeyError") == []


@pytest.mark.parametrize("control", ["\x1b[31m", "\r", "\x00", "\u2028", "\n2026-01-01 INFO a lie"])
def test_a_hostile_traceback_is_indented_lines_without_control_characters(
    caplog: pytest.LogCaptureFixture, control: str
) -> None:
    (text,) = logged(caplog, error="e", error_type=f"K{control}", traceback=f"T\nevil{control}evil")
    first, *others = text.split("\n")
    assert first.isprintable()
    assert all(line.startswith("    ") and line.isprintable() for line in others)
