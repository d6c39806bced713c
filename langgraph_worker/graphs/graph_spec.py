"""One entry of ``graphs`` in ``langgraph.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.assistants import GraphValues, read_assistants
from langgraph_worker.graphs.event_rights import EventRights

OnNewRelease = Literal["resume", "fail"]
"""What happens to a run that another release began."""

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
    """

    name: str
    source: str
    is_file: bool
    variable: str
    rights: EventRights = field(default_factory=EventRights)
    values: GraphValues = field(default_factory=GraphValues)
    assistants: Mapping[str, GraphValues] = field(default_factory=dict)
    on_new_release: OnNewRelease = "resume"

    @property
    def description(self) -> str:
        """What the manifest says of it; empty if it says nothing."""
        return self.values.description

    @property
    def target(self) -> str:
        """As the manifest writes it."""
        return f"{self.source}:{self.variable}"


def graph_spec(path: Path, name: str, value: Any) -> GraphSpec:
    """Read an entry.

    :param path: the manifest.
    :raises GraphLoadError: names the file, the entry and what is right.
    """
    where = f"{path}: graph {name!r}"
    rights, values, assistants = EventRights(), GraphValues(), dict[str, GraphValues]()
    on_new_release: OnNewRelease = "resume"
    if isinstance(value, dict):
        try:
            rights = EventRights.from_entry(value.get("events", {}))
            values, assistants = GraphValues.from_keys(value), read_assistants(value.get("assistants", {}))
        except ValueError as error:
            raise GraphLoadError(f"{where}: {error}") from None
        on_new_release = _on_new_release(where, value.get("on_new_release", "resume"))
        value = value.get("path")
    if not isinstance(value, str):
        raise GraphLoadError(f'{where} must be {FORMS}, or {{"path": ..., "description": ...}} with one of these')
    source, colon, variable = value.rpartition(":")
    if not colon or not source or not variable.isidentifier():
        raise GraphLoadError(f"{where}: {value!r} is not of the form {FORMS}")
    if not 1 <= len(name) <= 512:
        raise GraphLoadError(f"{where}: a graph's name has 1 to 512 characters")
    is_file = "/" in source or source.endswith(".py")
    return GraphSpec(name, source, is_file, variable, rights, values, assistants, on_new_release)


def _on_new_release(where: str, value: Any) -> OnNewRelease:
    for known in get_args(OnNewRelease):
        if value == known:
            policy: OnNewRelease = known
            return policy
    raise GraphLoadError(
        f"{where}: key 'on_new_release' must be one of {', '.join(get_args(OnNewRelease))}, not {value!r}"
    )
