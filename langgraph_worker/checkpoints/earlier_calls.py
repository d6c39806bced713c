"""A graph inside of a node that keeps its state between calls: a new call of it begins, whatever an earlier one left.

When a run goes on, LangGraph lets every graph inside of it go on with its latest checkpoint and ignores its input. For
one that is compiled with ``checkpointer=True`` that may be the checkpoint of another call: of an earlier superstep or
turn of a conversation, of another task of the same workflow, of a branch beside it. Its node would get the answer of
that call, and no node of it would run (langchain-ai/langgraph#3206; measured with 1.2.22). So each checkpoint of such a
graph says which task of LangGraph's called it, beside the checkpoints of the graphs around it.
"""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_CHECKPOINT_MAP, CONFIG_KEY_RESUMING, CONFIG_KEY_TASK_ID
from langgraph.checkpoint.base import CheckpointMetadata

CALLED_BY = "called_by"
"""In the metadata of a checkpoint of a graph inside of a node: the id of the task that called it."""


def called_by(config: RunnableConfig) -> dict[str, Any]:
    """What the metadata of a checkpoint says of its graph's caller; nothing of the run's own graph."""
    caller = _caller(config)
    return {} if caller is None else {CALLED_BY: caller}


def may_be_anothers(config: RunnableConfig, metadata: CheckpointMetadata) -> bool:
    """Whether a graph that goes on has read the checkpoint of another call, and one of its own may lie behind it."""
    place = config["configurable"]
    goes_on = place.get(CONFIG_KEY_RESUMING) and not place.get("checkpoint_id")
    return bool(goes_on) and metadata.get(CALLED_BY) not in (None, _caller(config))


def begin_new_call(config: RunnableConfig, metadata: CheckpointMetadata) -> None:
    """Let the graph that reads with this config take its input, unless what it has read is of the call under way.

    :param config: LangGraph's own, not a copy; it is changed.
    :param metadata: of the checkpoint that was read.
    """
    place = config["configurable"]
    if not place.get(CONFIG_KEY_RESUMING) or not place.get("checkpoint_ns"):
        return
    called_at, parents = place.get(CONFIG_KEY_CHECKPOINT_MAP) or {}, metadata.get("parents") or {}
    is_earlier = any(parents[around] != called_at[around] for around in parents.keys() & called_at.keys())
    if is_earlier or metadata.get(CALLED_BY) not in (None, _caller(config)):
        place[CONFIG_KEY_RESUMING] = False


def _caller(config: RunnableConfig) -> str | None:
    place = config["configurable"]
    return place.get(CONFIG_KEY_TASK_ID) if place.get("checkpoint_ns") else None
