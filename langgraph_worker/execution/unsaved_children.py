"""Lets a run have child graphs without a checkpointer (``compile(checkpointer=False)``).

LangGraph hands ``durability="sync"`` down to every child, and waits behind each superstep for the put of a checkpoint.
A child without a checkpointer makes no such put, and then LangGraph (1.2) fails with an AttributeError.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from langgraph.pregel._loop import PregelLoop


class _NothingToPut:
    """Stands for a put that has ended: in an event loop it is awaited, in a thread its result is asked for."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield

    def result(self, timeout: float | None = None) -> None:
        """There was nothing to put."""


def allow_unsaved_children() -> None:
    """Give every loop of LangGraph's a last put that has ended, until it makes one. Calling twice is harmless."""
    PregelLoop._put_checkpoint_fut = _NothingToPut()  # type: ignore[assignment]
