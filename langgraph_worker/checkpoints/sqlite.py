"""LangGraph's own SQLite saver on the run store's file."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langgraph_worker.errors import StoreError
from langgraph_worker.store.sqlite import path_of

_BUSY_SECONDS = 30.0  # the run store writes to the same file, for milliseconds each


class NotStorableError(TypeError):
    """A graph's state holds a value that no checkpoint can hold."""


class NamingSerializer(JsonPlusSerializer):
    """LangGraph's serializer, but a value that it cannot store is told apart from a TypeError of the graph's own."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """:raises NotStorableError: the value has no stored form."""
        try:
            return super().dumps_typed(obj)
        except (TypeError, ValueError, RecursionError) as error:
            raise NotStorableError(str(error)) from error


class StoreSaver(AsyncSqliteSaver):
    """LangGraph's saver, but trouble of the database is told apart from what a graph's own node raises."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """:raises StoreError: the database failed."""
        with _explained():
            return await super().aget_tuple(config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """:raises StoreError: the database failed."""
        with _explained():
            return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """:raises StoreError: the database failed."""
        with _explained():
            await super().aput_writes(config, writes, task_id, task_path)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"a checkpoint cannot be read or written: {error}") from error


@asynccontextmanager
async def open_saver(store_url: str, busy_seconds: float = _BUSY_SECONDS) -> AsyncIterator[BaseCheckpointSaver[str]]:
    """The checkpoints of a run store, for use in the running loop.

    :param busy_seconds: how long a write waits for another connection's transaction.
    :raises SettingsError: the URL names no SQLite file.
    :raises StoreError: the file cannot be used.
    """
    async with aiosqlite.connect(path_of(store_url), timeout=busy_seconds) as connection:
        saver = StoreSaver(connection, serde=NamingSerializer())
        with _explained():
            await saver.setup()
        yield saver
