"""The values that ``langgraph.json`` gives a graph: its entry's own, and its assistants, which are named sets of them.

Of an entry, only this worker reads the keys ``context``, ``configurable`` and ``assistants``::

    {"graphs": {"desk": {
      "path": "./desk.py:graph",
      "context": {"language": "en"},
      "assistants": {"night": {"description": "Cheap and slow", "context": {"language": "de"}}}
    }}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from pydantic import JsonValue

_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")  # LangGraph's own: clients compute a graph's assistant by it
_KEYS = ("description", "context", "configurable")
_LONGEST_NAME = 512


@dataclass(frozen=True, slots=True)
class GraphValues:
    """What a manifest sets for a graph. It is the fleet's own, and may set what no event may.

    :param context: None if there is none: a graph with a context schema then reads it from ``configurable``.
    :param configurable: for ``config["configurable"]``.
    """

    description: str = ""
    context: Mapping[str, JsonValue] | None = None
    configurable: Mapping[str, JsonValue] = field(default_factory=dict)

    @classmethod
    def from_keys(cls, value: Mapping[str, Any], place: str = "") -> GraphValues:
        """The values among the keys of an entry, or of an assistant.

        :param place: where these keys are, for the error: ``assistants.night.``.
        :raises ValueError: what is wrong, and what is right.
        """
        for key in ("context", "configurable"):
            if not isinstance(value.get(key, {}), Mapping):
                raise ValueError(f"key '{place}{key}' must be an object of values by name")
        return cls(str(value.get("description") or ""), value.get("context"), value.get("configurable", {}))


def read_assistants(value: Any) -> dict[str, GraphValues]:
    """The assistants of an entry, by name.

    :raises ValueError: what is wrong, and what is right.
    """
    if not isinstance(value, Mapping):
        raise ValueError("key 'assistants' must be an object: a name, and an object with " + ", ".join(_KEYS))
    for name, assistant in value.items():
        if not 1 <= len(name) <= _LONGEST_NAME:
            raise ValueError(f"key 'assistants': a name has 1 to {_LONGEST_NAME} characters")
        if not isinstance(assistant, Mapping) or set(assistant) - set(_KEYS):
            raise ValueError(f"key 'assistants.{name}' must be an object with no other keys than {', '.join(_KEYS)}")
    return {name: GraphValues.from_keys(assistant, f"assistants.{name}.") for name, assistant in value.items()}


def assistant_id(graph: str, assistant: str | None = None) -> UUID:
    """The id of a graph's own assistant, as LangGraph's server computes it, or of a named one."""
    own = uuid5(_NAMESPACE, graph)
    return own if assistant is None else uuid5(own, assistant)
