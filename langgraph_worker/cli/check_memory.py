"""Whether the run store can keep what ``store.index`` of ``langgraph.json`` asks for."""

from __future__ import annotations

import asyncio

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.cli.trial_store import trial_store
from langgraph_worker.errors import StoreLockedError, WorkerError
from langgraph_worker.graphs.memory_config import MemoryConfig
from langgraph_worker.runtime.make_store import make_store
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.store_url import shown_url

_SECONDS = 10.0


def describe_memory(settings: WorkerSettings, config: MemoryConfig) -> str:
    """What the long-term memory finds by meaning, in words; empty if the project asks for nothing of the kind.

    :raises WorkerError: the run store cannot be used, or cannot keep the vectors.
    """
    if config.index is None:
        return ""
    try:
        with trial_store(settings) as opened:
            asyncio.run(_set_up(opened, config))
    except StoreLockedError:
        pass  # a worker that is running has it, and keeps the vectors there
    except TimeoutError:
        raise WorkerError(f"{shown_url(settings.store_url)} does not answer within {_SECONDS:g} s") from None
    return f"long-term memory finds by meaning: store.index, {config.index.dims} dimensions"


async def _set_up(settings: WorkerSettings, config: MemoryConfig) -> None:
    store = make_store(settings)
    async with asyncio.timeout(_SECONDS):
        await store.open()
        try:
            await Memories(store, config).setup()
        finally:
            await store.close()
