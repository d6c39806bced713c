"""A graph inside of a node that keeps its state between calls: a new call of it begins, whatever an earlier one left.

When a run goes on, LangGraph lets every graph inside of it go on with its latest checkpoint and ignores its input. For
one that is compiled with ``checkpointer=True`` that may be the checkpoint of a call in an earlier superstep, or in an
earlier turn of a conversation: its node would get the answer of that call, and no node of it would run
(langchain-ai/langgraph#3206; measured with 1.2.22). Its checkpoints say at which checkpoints of the graphs around it
it was called.
"""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_CHECKPOINT_MAP, CONFIG_KEY_RESUMING
from langgraph.checkpoint.base import CheckpointMetadata


def begin_new_call(config: RunnableConfig, metadata: CheckpointMetadata) -> None:
    """Let the graph that reads with this config take its input, unless what it has read is of the call under way.

    :param config: LangGraph's own, not a copy; it is changed.
    :param metadata: of the checkpoint that was read.
    """
    place = config["configurable"]
    if not place.get(CONFIG_KEY_RESUMING) or not place.get("checkpoint_ns"):
        return
    called_at, parents = place.get(CONFIG_KEY_CHECKPOINT_MAP) or {}, metadata.get("parents") or {}
    if any(parents[around] != called_at[around] for around in parents.keys() & called_at.keys()):
        place[CONFIG_KEY_RESUMING] = False
