"""One entry of ``graphs`` in ``langgraph.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.assistants import GraphValues, read_assistants
from langgraph_worker.graphs.event_rights import EventRights

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
    """

    name: str
    source: str
    is_file: bool
    variable: str
    rights: EventRights = field(default_factory=EventRights)
    values: GraphValues = field(default_factory=GraphValues)
    assistants: Mapping[str, GraphValues] = field(default_factory=dict)

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
    if isinstance(value, dict):
        try:
            rights = EventRights.from_entry(value.get("events", {}))
            values, assistants = GraphValues.from_keys(value), read_assistants(value.get("assistants", {}))
        except ValueError as error:
            raise GraphLoadError(f"{where}: {error}") from None
        value = value.get("path")
    if not isinstance(value, str):
        raise GraphLoadError(f'{where} must be {FORMS}, or {{"path": ..., "description": ...}} with one of these')
    source, colon, variable = value.rpartition(":")
    if not colon or not source or not variable.isidentifier():
        raise GraphLoadError(f"{where}: {value!r} is not of the form {FORMS}")
    if not 1 <= len(name) <= 512:
        raise GraphLoadError(f"{where}: a graph's name has 1 to 512 characters")
    is_file = "/" in source or source.endswith(".py")
    return GraphSpec(name, source, is_file, variable, rights, values, assistants)
