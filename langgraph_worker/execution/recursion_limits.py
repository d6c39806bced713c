"""How many supersteps a run may take, and who has set that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from langgraph._internal._config import DEFAULT_RECURSION_LIMIT
from langgraph.errors import GraphRecursionError
from langgraph.pregel import Pregel

from workflow_events.models import RunConfig

_SETTING = "LANGGRAPH_WORKER_RECURSION_LIMIT"


@dataclass(frozen=True, slots=True)
class RecursionLimit:
    """A run's limit.

    :param steps: supersteps.
    :param set_by: who has set it, and how to raise it.
    :param begun: supersteps of earlier starts of the run, which the worker has repeated. Where they have reached the
        limit, no further start begins. Each start has the whole limit: graphs inside of nodes have the same one.
    """

    steps: int
    set_by: str
    begun: int = 0

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Let the error of a run that reaches this limit say who has set it. That of a child graph's own stays.

        :raises GraphRecursionError: earlier starts have reached it.
        """
        if self.begun >= self.steps:
            raise GraphRecursionError(self._text)
        try:
            yield
        except GraphRecursionError as error:
            if not str(error).startswith(f"Recursion limit of {self.steps} "):
                raise
            raise GraphRecursionError(self._text) from error

    @property
    def _text(self) -> str:
        earlier = f" ({self.begun} supersteps before the worker repeated the run count)" if self.begun else ""
        return f"Recursion limit of {self.steps} reached{earlier}. It is set by {self.set_by}"


def recursion_limit(graph: Pregel[Any], asked: RunConfig, most: int | None, begun: int = 0) -> RecursionLimit:
    """The lowest of what the graph, the worker and the event say. Without any, LangGraph's own default holds.

    :param most: the worker's setting.
    :param begun: see :class:`RecursionLimit`.
    """
    own = (graph.config or {}).get("recursion_limit")
    if own is None:
        limit = RecursionLimit(
            DEFAULT_RECURSION_LIMIT,
            "LangGraph's default: a graph sets its own by graph.with_config(recursion_limit=...)",
        )
    else:
        limit = RecursionLimit(own, "the graph itself: with_config(recursion_limit=...)")
    if most is not None and most < limit.steps:
        limit = RecursionLimit(most, f"the worker: {_SETTING}")
    if asked.recursion_limit is not None and asked.recursion_limit < limit.steps:
        limit = RecursionLimit(asked.recursion_limit, "the event: config.recursion_limit")
    return replace(limit, begun=begun)
