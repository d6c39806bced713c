"""LangGraph's PostgreSQL saver. Its ``_cursor()`` is private: a contract test pins it."""

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
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.engines.postgres import PostgresDatabase

_T = TypeVar("_T")
_EXPONENT_FROM = 1e16  # from here on Python writes a float with an exponent, which PostgreSQL turns into an integer
_MAX_INTEGER_BITS = 10_000  # Python reads no more than 4300 digits
_NO_CONNECTION = cast("psycopg.Connection[dict[str, Any]]", None)


class _Recorder(PostgresSaver):
    def __init__(self, serde: NamingSerializer) -> None:
        super().__init__(_NO_CONNECTION, serde=serde)
        self.recording = Recording(frozen)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As the saver does, but plain values that PostgreSQL's JSON cannot hold are not written into the JSON."""
        values = {name: _without_json(value) for name, value in checkpoint["channel_values"].items()}
        return super().put(config, {**checkpoint, "channel_values": values}, metadata, new_versions)

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Any]:
        yield self.recording


class PostgresCheckpoints(Dialect):
    """Checkpoints in the run store's database."""

    def __init__(self, database: PostgresDatabase, serde: NamingSerializer) -> None:
        self._database = database
        self._serde = serde
        self._recorder = _Recorder(self._serde)

    def setup(self) -> None:
        with self._database.alone() as connection:
            PostgresSaver(connection).setup()

    def record(self, put: Callable[[Saver], _T]) -> tuple[_T, Sequence[Statement]]:
        self._recorder.recording = recording = Recording(frozen)
        return put(self._recorder), recording.statements

    def reader(self, connection: Connection) -> Saver:
        raw = cast("psycopg.Connection[dict[str, Any]]", connection.connection.driver_connection)
        return PostgresSaver(raw, serde=self._serde)

    def next_version(self, current: Any) -> Any:
        return self._recorder.get_next_version(current, None)


def _without_json(value: Any) -> Any:
    """The value, or a wrapped one, which the saver stores in a table of its own."""
    return Blob(value) if isinstance(value, (str, int, float)) and not _survives_json(value) else value


def _survives_json(value: str | int | float) -> bool:
    """Whether the value comes back from JSON unchanged: also of the same class, and a float as a float."""
    if type(value) is float:
        return abs(value) < _EXPONENT_FROM
    if type(value) is int:
        return value.bit_length() <= _MAX_INTEGER_BITS
    return type(value) is bool or (type(value) is str and "\0" not in value and _is_unicode(value))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def frozen(values: Sequence[Any]) -> list[Any]:
    """The values with JSON written now: psycopg writes it at execution, when the graph may have changed the value."""
    return [_text(value) if isinstance(value, Jsonb) else value for value in values]


def _text(value: Jsonb) -> Jsonb:
    text = json.dumps(value.obj)
    return Jsonb(None, dumps=lambda _: text)
