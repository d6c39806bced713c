"""From values of a graph's state to what a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer


class NotStorableError(TypeError):
    """A graph's state holds a value that no checkpoint can hold."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A value that a saver would write into JSON, and that JSON cannot hold: stored in its own form instead."""

    value: Any


class NamingSerializer(JsonPlusSerializer):
    """LangGraph's serializer, but a value that it cannot store is told apart from a TypeError of the graph's own."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """:raises NotStorableError: the value has no stored form."""
        try:
            return super().dumps_typed(obj.value if isinstance(obj, Blob) else obj)
        except (TypeError, ValueError, RecursionError) as error:
            raise NotStorableError(str(error)) from error
