"""What a task returns of an agent's result: nothing that Airflow takes for an object of its own, or cannot store.

Airflow stores what a task returns as JSON, and builds objects again from some keys when another task reads it. A result
is what a graph, a model or a message made of it, so it must not hold these keys. And a task that fails as its value is
stored has returned already: its retry would count as a clear, and the agent would run, and be paid, again.
"""

from __future__ import annotations

from typing import Any, Literal

import pydantic_core

from airflow_provider_langgraph.exceptions import ResultRefusedError
from workflow_events.json_places import shortened, values_in
from workflow_events.results import WorkflowResultEvent

ResultFormat = Literal["json", "text"]
FORMATS = ("json", "text")

# Those that Airflow 3.3.2 forbids for XComs that come over its API (airflow.sdk._shared.serialization). In what a task
# returns it does not look for them: some fail the task as its result is stored, after the agent has been paid; "__type"
# with "__var" makes an object of any class that Airflow allows, its connections among them.
_RESERVED = frozenset(
    ("__classname__", "__version__", "__data__", "__id__", "__cache__", "__type", "__source", "__var")
)


_ZERO = "a zero character, which Airflow's database does not store (PostgreSQL)"
_INTEGERS = range(-(2**63), 2**64)
"""Those that fit into the message with which a task hands Airflow its value (msgpack)."""


def value_of(result: WorkflowResultEvent, result_format: ResultFormat) -> Any:
    """The return value of a task.

    :param result: a success.
    :param result_format: ``json``: plain values. ``text``: one text, the JSON of the result, whatever it holds.
    :raises ResultRefusedError: Airflow would make an object of a plain value, or cannot store it; names the place.
    """
    if result_format == "text":
        return pydantic_core.to_json(result.result).decode()
    for keys, value in values_in(result.result):
        if found := _refused(value):
            place = shortened("result" + "".join(f"[{key!r}]" for key in keys))
            raise ResultRefusedError(
                f"the agent's result cannot be returned: at {place} it has {found}. Leave that out of the graph's "
                "output, or set result_format='text', which returns the JSON text "
                f"[correlation id {result.correlation_id}, thread {result.thread_id or '-'}]",
                result,
            )
    return result.result


def _refused(value: Any) -> str:
    """What of one value Airflow does not take as it is; empty if it does. Values in it are not looked at."""
    if isinstance(value, str):
        return _ZERO if "\0" in value else ""
    if isinstance(value, int):
        return "" if value in _INTEGERS else "an integer of more than 64 bits, which a task cannot hand to Airflow"
    if not isinstance(value, dict):
        return ""
    if not _RESERVED.isdisjoint(value):
        names = ", ".join(sorted(repr(key) for key in _RESERVED.intersection(value)))
        return f"{names}, of which Airflow makes objects when another task reads it"
    return _ZERO if any("\0" in key for key in value) else ""
