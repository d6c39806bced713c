"""LangGraph's PostgreSQL saver. Of it, ``_cursor()`` is private: a contract test pins it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from langgraph_worker.checkpoints.dialect import Dialect, Recording, Saver
from langgraph_worker.checkpoints.serializer import Blob, NamingSerializer
from langgraph_worker.store.database import Statement
from langgraph_worker.store.postgres import PostgresDatabase

_T = TypeVar("_T")
_WHOLE = 1e16  # from here on, Python writes a float with an exponent, and PostgreSQL writes that as an integer
_LONGEST = 10_000  # bits of an integer: Python reads no more than 4300 digits
_NO_CONNECTION = cast("psycopg.Connection[dict[str, Any]]", None)


class _Recorder(PostgresSaver):
    def __init__(self, serde: NamingSerializer) -> None:
        super().__init__(_NO_CONNECTION, serde=serde)
        self.recording = Recording(_frozen)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As the saver does, which writes plain values into JSON, but for those that PostgreSQL's cannot hold."""
        values = {name: _without_json(value) for name, value in checkpoint["channel_values"].items()}
        return super().put(config, {**checkpoint, "channel_values": values}, metadata, new_versions)

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Any]:
        yield self.recording


class PostgresCheckpoints(Dialect):
    """Checkpoints in the run store's database."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._serde = NamingSerializer()
        self._recorder = _Recorder(self._serde)

    def setup(self) -> None:
        with self._database.alone() as connection:
            PostgresSaver(connection).setup()

    def record(self, put: Callable[[Saver], _T]) -> tuple[_T, Sequence[Statement]]:
        self._recorder.recording = recording = Recording(_frozen)
        return put(self._recorder), recording.statements

    def reader(self, connection: Connection) -> Saver:
        raw = cast("psycopg.Connection[dict[str, Any]]", connection.connection.driver_connection)
        return PostgresSaver(raw, serde=self._serde)

    def next_version(self, current: Any) -> Any:
        return self._recorder.get_next_version(current, None)


def _without_json(value: Any) -> Any:
    """The value, or a wrapping that the saver stores in a table of its own."""
    return Blob(value) if isinstance(value, (str, int, float)) and not _survives_json(value) else value


def _survives_json(value: str | int | float) -> bool:
    """Whether it comes back as it was: of the same class, too, and a float as a float."""
    if type(value) is float:
        return abs(value) < _WHOLE
    if type(value) is int:
        return value.bit_length() <= _LONGEST
    return type(value) is bool or (type(value) is str and "\0" not in value and _is_unicode(value))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _frozen(values: Sequence[Any]) -> list[Any]:
    """JSON written now: psycopg would do it when it executes, and by then the graph may have changed the value."""
    return [_text(value) if isinstance(value, Jsonb) else value for value in values]


def _text(value: Jsonb) -> Jsonb:
    text = json.dumps(value.obj)
    return Jsonb(None, dumps=lambda _: text)
