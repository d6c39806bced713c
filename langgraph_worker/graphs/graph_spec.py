"""One entry of ``graphs`` in ``langgraph.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from langgraph_worker.domain.budgets import GraphBudget
from langgraph_worker.domain.retry_policy import RetryRules
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.assistants import GraphValues, read_assistants
from langgraph_worker.graphs.event_rights import EventRights
from langgraph_worker.graphs.graph_budget import graph_budget
from langgraph_worker.graphs.graph_retries import graph_retries

OnNewRelease = Literal["resume", "restart", "fail"]
"""What happens to a run that another release began."""

_MOST_KEPT = 1_000_000
_MOST_RUNNING = 1_000_000
FORMS = '"./path/to/file.py:variable" or "package.module:variable"'


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One entry of ``graphs``.

    :param source: a file's path relative to the manifest, or a module's dotted name.
    :param is_file: which of the two.
    :param variable: the name in it.
    :param rights: what events may set.
    :param values: what the entry sets for every run.
    :param assistants: what it sets for the runs that name one of them.
    :param on_new_release: what happens to a run that another release began.
    :param keep_checkpoints: how many checkpoints its threads keep, where that is less than the worker's setting.
    :param budget: what its logical runs may spend, where an event does not allow less.
    :param retries: which of its errors the worker repeats.
    :param max_running: how many of its runs may run at once, over all workers of the fleet; None: no limit.
    """

    name: str
    source: str
    is_file: bool
    variable: str
    rights: EventRights = field(default_factory=EventRights)
    values: GraphValues = field(default_factory=GraphValues)
    assistants: Mapping[str, GraphValues] = field(default_factory=dict)
    on_new_release: OnNewRelease = "resume"
    keep_checkpoints: int | None = None
    budget: GraphBudget = field(default_factory=GraphBudget)
    retries: RetryRules = field(default_factory=RetryRules)
    max_running: int | None = None

    @property
    def description(self) -> str:
        """What the manifest says of it; empty if it says nothing."""
        return self.values.description

    @property
    def target(self) -> str:
        """As the manifest writes it."""
        return f"{self.source}:{self.variable}"


def parse_target(text: str) -> tuple[str, bool, str] | None:
    """The source, whether it is a file, and the variable of a text in one of the :data:`FORMS`; None: it is in none."""
    source, colon, variable = text.rpartition(":")
    if not colon or not source or not variable.isidentifier():
        return None
    return source, "/" in source or source.endswith(".py"), variable


def graph_spec(path: Path, name: str, value: Any) -> GraphSpec:
    """Read an entry.

    :param path: the manifest.
    :raises GraphLoadError: names the file, the entry and what is right.
    """
    where = f"{path}: graph {name!r}"
    rights, values, assistants = EventRights(), GraphValues(), dict[str, GraphValues]()
    on_new_release: OnNewRelease = "resume"
    keep_checkpoints, budget, retries, max_running = None, GraphBudget(), RetryRules(), None
    if isinstance(value, dict):
        try:
            rights = EventRights.from_entry(value.get("events", {}))
            values, assistants = GraphValues.from_keys(value), read_assistants(value.get("assistants", {}))
            budget, retries = graph_budget(value.get("budget")), graph_retries(value.get("retries"))
        except ValueError as error:
            raise GraphLoadError(f"{where}: {error}") from None
        on_new_release = _on_new_release(where, value.get("on_new_release", "resume"))
        keep_checkpoints = _keep_checkpoints(where, value.get("checkpoints"))
        max_running = _max_running(where, value.get("max_running"))
        value = value.get("path")
    if not isinstance(value, str):
        raise GraphLoadError(f'{where} must be {FORMS}, or {{"path": ..., "description": ...}} with one of these')
    target = parse_target(value)
    if target is None:
        raise GraphLoadError(f"{where}: {value!r} is not of the form {FORMS}")
    source, is_file, variable = target
    if not 1 <= len(name) <= 512:
        raise GraphLoadError(f"{where}: a graph's name has 1 to 512 characters")
    return GraphSpec(
        name,
        source,
        is_file,
        variable,
        rights,
        values,
        assistants,
        on_new_release,
        keep_checkpoints,
        budget,
        retries,
        max_running,
    )


def _on_new_release(where: str, value: Any) -> OnNewRelease:
    for known in get_args(OnNewRelease):
        if value == known:
            policy: OnNewRelease = known
            return policy
    raise GraphLoadError(
        f"{where}: key 'on_new_release' must be one of {', '.join(get_args(OnNewRelease))}, not {value!r}"
    )


def _keep_checkpoints(where: str, value: Any) -> int | None:
    if value is None:
        return None
    keep = value.get("keep") if isinstance(value, dict) and value.keys() <= {"keep"} else None
    if isinstance(keep, bool) or not isinstance(keep, int) or not 1 <= keep <= _MOST_KEPT:
        raise GraphLoadError(
            f"{where}: key 'checkpoints' must be {{\"keep\": a number from 1 to {_MOST_KEPT:,}}}, not {value!r}"
        )
    return keep


def _max_running(where: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_RUNNING:
        raise GraphLoadError(
            f"{where}: key 'max_running' must be a number of runs from 1 to {_MOST_RUNNING:,}, not {value!r}. For no "
            "limit leave it out; to stop the graph, use `langgraph-worker pause`"
        )
    return value
