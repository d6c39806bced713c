"""What a task returns of an agent's result: nothing that Airflow takes for an object of its own, or cannot keep.

Airflow stores what a task returns as JSON, and builds objects again from some keys when another task reads it. A result
is what a graph, a model or a message made of it, so it must not hold these keys. What Airflow cannot keep fails a task
as its result is stored: the agent has been paid, and its next try would pay it again.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import pydantic_core

from airflow_provider_langgraph.exceptions import ResultRefusedError
from workflow_events.json_places import Place, names_of, parts_of
from workflow_events.results import WorkflowResultEvent

ResultFormat = Literal["json", "text"]
FORMATS = ("json", "text")

# Those that Airflow 3.3.2 forbids for XComs that come over its API (airflow.sdk._shared.serialization). In what a task
# returns it does not look for them: some fail the task as its result is stored, after the agent has been paid; "__type"
# with "__var" makes an object of any class that Airflow allows, its connections among them.
_RESERVED = frozenset(
    ("__classname__", "__version__", "__data__", "__id__", "__cache__", "__type", "__source", "__var")
)
# What a task's process can send to its supervisor.
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def value_of(result: WorkflowResultEvent, result_format: ResultFormat) -> Any:
    """The return value of a task.

    :param result: a success.
    :param result_format: ``json``: plain values. ``text``: one text, the JSON of the result, whatever it holds.
    :raises ResultRefusedError: a plain value would become an object, or cannot be kept; names the place.
    """
    if result_format == "text":
        return pydantic_core.to_json(result.result).decode()
    for place, part in parts_of("result", result.result):
        found = _problem(part)
        if found:
            raise _refusal(place, found, result)
    if isinstance(result.result, str):
        _require_plain_text(result.result, result)
    return result.result


def _require_plain_text(text: str, result: WorkflowResultEvent) -> None:
    """Airflow's API reads a return value that is a text as JSON once more."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    for place, part in parts_of("result", value):
        if isinstance(part, dict) and not _RESERVED.isdisjoint(part):
            raise _refusal(place, f"{_problem(part)} (the result is a text, which it reads as JSON)", result)


def _problem(part: Any) -> str | None:
    """What is wrong with a value, not counting what is in it; None if nothing is."""
    if isinstance(part, dict):
        if not _RESERVED.isdisjoint(part):
            keys = ", ".join(sorted(repr(key) for key in _RESERVED.intersection(part)))
            return f"{keys}, of which Airflow makes objects when another task reads it"
        return (
            "a key with a NUL character, which PostgreSQL refuses in Airflow's database"
            if any("\0" in key for key in part)
            else None
        )
    if isinstance(part, str) and "\0" in part:
        return "a NUL character, which PostgreSQL refuses in Airflow's database"
    if isinstance(part, int) and not _SMALLEST <= part <= _LARGEST:
        return "an integer of more than 64 bits, which Airflow cannot send"
    return None


def _refusal(place: Place, found: str, result: WorkflowResultEvent) -> ResultRefusedError:
    whole, *names = names_of(place)
    where = f"{whole}{''.join(f'[{name!r}]' for name in names)}"
    return ResultRefusedError(
        f"the agent's result cannot be returned: at {where} it has {found}. Leave that out of the graph's output, or "
        "set result_format='text', which returns the JSON text "
        f"[correlation id {result.correlation_id}, thread {result.thread_id or '-'}]",
        result,
    )
