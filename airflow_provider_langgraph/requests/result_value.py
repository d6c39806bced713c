"""What a task returns of an agent's result: nothing that Airflow takes for an object of its own.

Airflow stores what a task returns as JSON, and builds objects again from some keys when another task reads it. A result
is what a graph, a model or a message made of it, so it must not hold these keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pydantic_core

from airflow_provider_langgraph.exceptions import ResultRefusedError
from workflow_events.results import WorkflowResultEvent

ResultFormat = Literal["json", "text"]
FORMATS = ("json", "text")

# Those that Airflow 3.3.2 forbids for XComs that come over its API (airflow.sdk._shared.serialization). In what a task
# returns it does not look for them: some fail the task as its result is stored, after the agent has been paid; "__type"
# with "__var" makes an object of any class that Airflow allows, its connections among them.
_RESERVED = frozenset(
    ("__classname__", "__version__", "__data__", "__id__", "__cache__", "__type", "__source", "__var")
)


def value_of(result: WorkflowResultEvent, result_format: ResultFormat) -> Any:
    """The return value of a task.

    :param result: a success.
    :param result_format: ``json``: plain values. ``text``: one text, the JSON of the result, whatever it holds.
    :raises ResultRefusedError: a plain value would become an object; names the place.
    """
    if result_format == "text":
        return pydantic_core.to_json(result.result).decode()
    for place, found in _objects_in(result.result):
        raise ResultRefusedError(
            f"the agent's result cannot be returned: at {place} it has {found}, of which Airflow makes objects "
            "when another task reads it. Leave that out of the graph's output, or set result_format='text', which "
            f"returns the JSON text [correlation id {result.correlation_id}, thread {result.thread_id or '-'}]",
            result,
        )
    return result.result


def _objects_in(value: Any) -> Iterator[tuple[str, str]]:
    """The places and the reserved keys there. Not recursive: the depth is the sender's."""
    open_values = [("result", value)]
    while open_values:
        place, value = open_values.pop()
        if isinstance(value, dict):
            if not _RESERVED.isdisjoint(value):
                yield place, ", ".join(sorted(repr(key) for key in _RESERVED.intersection(value)))
            open_values += [(f"{place}[{key!r}]", inner) for key, inner in value.items()]
        elif isinstance(value, list):
            open_values += [(f"{place}[{number}]", inner) for number, inner in enumerate(value)]
