"""What is kept of a task of LangGraph's that an exception or a cancellation has ended.

LangGraph writes what the task has put out by then beside the error, and applies it when the thread goes on: the task
counts as finished. So a node whose conditional edge raises, after the node itself has returned, is never followed by
another one, and the graph ends as if it had succeeded (langchain-ai/langgraph#8834).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.checkpoint.serde.types import ERROR

from langgraph_worker.errors import WorkerError

_HANDLED = "__error_source_node__"  # an error handler goes on from what the task has put out


class NoOutputError(WorkerError):
    """A superstep is not stored, because one of its tasks made something of its own of a call that was refused."""


Writes = Sequence[tuple[str, Any]]


def without_output(writes: Writes, *, has_failed: bool = False) -> Writes:
    """The writes of a task; of one that has failed only its error, and the answers that it was given.

    :param has_failed: although it has returned: it made something of its own of a call that was refused.
    """
    channels = {channel for channel, _ in writes}
    if not has_failed and (ERROR not in channels or _HANDLED in channels):
        return writes
    return [write for write in writes if write[0] in WRITES_IDX_MAP]


def require_output(namespace: str, has_failed: Collection[str]) -> None:
    """Check that a checkpoint holds no output of a task that counts as failed although it has returned.

    :param namespace: of the checkpoint's graph: ``node:task|node of a graph inside of it:its task``; empty for the
        run's own.
    :param has_failed: tasks, with those around them.
    :raises NoOutputError: it does.
    """
    around = {part.rpartition(":")[2] for part in namespace.split("|")} if namespace else set(has_failed)
    if around & set(has_failed):
        raise NoOutputError("a call of a model was refused in this superstep")
