"""Turn the values of a graph's state into what a checkpoint stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer, _create_msgpack_ext_hook

from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.errors import WorkerError


class NotStorableError(WorkerError, TypeError):
    """A graph's state holds a value that no checkpoint can hold."""


class NotLoadableError(WorkerError, ValueError):
    """A checkpoint names a class that the worker does not load."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A value that a saver would write into JSON, but JSON cannot hold: stored by the serializer instead."""

    value: Any


class NamingSerializer(JsonPlusSerializer):
    """LangGraph's serializer, with its own errors: a graph may raise TypeError too.

    :param loadable: the classes that it loads beside those of LangGraph's own list.
    """

    def __init__(self, loadable: LoadableClasses) -> None:
        super().__init__(__unpack_ext_hook__=_create_msgpack_ext_hook(loadable))  # type: ignore[arg-type]
        self._loadable = loadable

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """:raises NotLoadableError: the value holds an object of a class that may not be loaded."""
        self._loadable.take_refused()  # of a value before this one, which could not be read to its end
        value = super().loads_typed(data)
        refused = self._loadable.take_refused()
        if refused is not None:
            raise NotLoadableError(
                f"a checkpoint holds an object of {refused}, which is no data class of the project, or of a package "
                "that its modules import. Import the class in the graph's module, or add its package to "
                "LANGGRAPH_WORKER_CHECKPOINT_PACKAGES"
            )
        return value

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """:raises NotStorableError: the value has no stored form."""
        try:
            return super().dumps_typed(obj.value if isinstance(obj, Blob) else obj)
        except (TypeError, ValueError, RecursionError) as error:
            raise NotStorableError(str(error)) from error
