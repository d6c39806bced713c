"""How long the superstep under way has taken, and how long the first one of a start may take."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from langgraph.pregel import Pregel

from workflow_events.log_words import in_seconds

_NODE_TIMEOUT = "NodeTimeoutError"  # of LangGraph's; older versions have none


class SuperstepClock:
    """Measures the supersteps of one start of a run.

    :param now: in seconds, of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began: float | None = None
        self._tasks = 0
        self._graph: Pregel[Any] | None = None
        self._own_limit: float | None = None
        self._is_shortened = False

    def limit_first(self, graph: Pregel[Any], seconds: float | None) -> None:
        """Let the first superstep of this graph, which is the run's own copy, take no longer; None: as long as before.

        LangGraph reads a graph's ``step_timeout`` at each superstep. It ends one that takes longer with a TimeoutError.
        """
        self._graph, self._own_limit = graph, graph.step_timeout
        if seconds is not None and (self._own_limit is None or seconds < self._own_limit):
            graph.step_timeout = seconds
            self._is_shortened = True

    def begin(self) -> None:
        """A superstep of the run's own graph is about to begin."""
        if self._began is not None and self._is_shortened and self._graph is not None:
            self._graph.step_timeout = self._own_limit
            self._is_shortened = False
        self._began, self._tasks = self._now(), 0

    def task_begins(self) -> None:
        """A node begins, of the run's own graph or of one inside of it."""
        self._tasks += 1

    def ran_out_after(self, error: BaseException) -> float | None:
        """How long the superstep took, if it ran into a time limit that LangGraph keeps, and that was for all of it:
        its ``step_timeout``, or that of its only node. None: another call was too slow, and what else the superstep
        does may need its time.
        """
        took = None if self._began is None else self._now() - self._began
        if took is None or self._limit_reached(error) is not None:
            return took
        is_node = type(error).__name__ == _NODE_TIMEOUT and getattr(error, "kind", None) == "run"
        return took if is_node and self._tasks == 1 else None

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Let the error of a superstep that was too slow say so, and who has limited it: LangGraph's has no text."""
        try:
            yield
        except TimeoutError as error:
            limit = self._limit_reached(error)
            if limit is None:
                raise
            by = "the graph's step_timeout"
            if self._is_shortened:
                by = (
                    "what the worker allows behind a timeout of the same superstep: raise retries.timeout.step_factor "
                    "of the graph's entry in langgraph.json, or set it to 1"
                )
            raise TimeoutError(f"a superstep took longer than {in_seconds(limit)}, {by}") from error

    def _limit_reached(self, error: BaseException) -> float | None:
        limit = None if self._graph is None else self._graph.step_timeout
        is_limit = limit is not None and self._began is not None and type(error) is TimeoutError
        return limit if limit is not None and is_limit and self._now() - (self._began or 0.0) >= limit else None
