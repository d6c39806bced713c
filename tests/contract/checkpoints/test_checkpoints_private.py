"""What is private to LangGraph's savers, or only true of this version, and relied on. An upgrade that fails here needs
a look at :mod:`langgraph_worker.checkpoints`, not at this file.
"""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from langgraph.checkpoint.base import WRITES_IDX_MAP, BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.base import id as langgraph_ids
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from psycopg.types.json import Jsonb

from langgraph_worker.checkpoints.checkpoint_ids import IdClock
from langgraph_worker.checkpoints.dialect import Recording
from langgraph_worker.checkpoints.saver import RunSaver
from langgraph_worker.store.engines.postgres import server_url
from tests.support.checkpoints import checkpoint, put, put_config
from tests.support.runs import Failing, State, chain

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": str(UUID(int=1))}}
METADATA: Any = {"source": "loop", "step": 2, "parents": {}}
VALUES = {"text": "a", "whole": 1, "real": 0.5, "truth": True, "nothing": None, "many": [1], "table": {"a": 1}}
INLINE = {"text", "whole", "real", "truth", "nothing"}


class Cursor(Recording):
    """Only what a recorder's cursor has; anything else that a put asks of its cursor is named."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a put of LangGraph's saver uses the cursor's {name!r}, which Recording does not have")


class OnCursor(PostgresSaver):
    def __init__(self, cursor: Cursor) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.cursor = cursor

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Any]:
        yield self.cursor


class OnSqliteCursor(SqliteSaver):
    def __init__(self, cursor: Cursor) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.recorded = cursor

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[Any]:
        yield self.recorded


def recorded(kind: Any, put: Callable[[Any], Any]) -> list[Any]:
    cursor = Cursor()
    put(kind(cursor))
    return cursor.statements


def table(statement: Any) -> str:
    return next(
        word for word in statement.sql.replace("(", " ").split() if word.lower().startswith(("check", "writes"))
    )


def a_put(saver: Any) -> Any:
    made = checkpoint(2, **VALUES)
    return saver.put(CONFIG, made, METADATA, made["channel_versions"])


def some_writes(saver: Any) -> Any:
    return saver.put_writes(CONFIG, [("x", 1), ("y", [2])], "task", "path")


# ---- PostgresSaver ----


def test_postgres_saver_gets_every_cursor_from_one_private_method():
    found = inspect.signature(PostgresSaver._cursor)
    assert list(found.parameters) == ["self", "pipeline"], "PostgresSaver._cursor: _Recorder overrides it"
    assert found.parameters["pipeline"].kind is inspect.Parameter.KEYWORD_ONLY
    for name in ("put", "put_writes", "delete_thread", "get_tuple", "list", "get_delta_channel_history"):
        source = inspect.getsource(getattr(PostgresSaver, name))
        assert "self._cursor(" in source, f"PostgresSaver.{name} does not use _cursor any more"
        assert "self.conn" not in source, f"PostgresSaver.{name} uses its connection past _cursor"


def test_postgres_saver_puts_plain_values_into_json_and_others_into_a_table():
    blobs, row = recorded(OnCursor, a_put)
    assert (table(blobs), blobs.many) == ("checkpoint_blobs", True)
    assert {values[2] for values in blobs.rows} == VALUES.keys() - INLINE
    assert (table(row), row.many, len(row.rows)) == ("checkpoints", False, 1)
    _, _, made, parent, inline, about = row.rows[0]
    assert (made, parent) == (str(UUID(int=2)), str(UUID(int=1)))
    assert isinstance(inline, Jsonb), "_frozen writes a put's JSON when it is put: it looks for Jsonb with .obj"
    assert isinstance(about, Jsonb)
    assert inline.obj["channel_values"] == {name: VALUES[name] for name in INLINE}


def test_postgres_saver_serialises_what_goes_into_a_table_when_it_is_put():
    many = [1]
    made = checkpoint(2, x=many)
    [blobs, _] = recorded(OnCursor, lambda saver: saver.put(CONFIG, made, METADATA, made["channel_versions"]))
    [writes] = recorded(OnCursor, lambda saver: saver.put_writes(CONFIG, [("x", many)], "task", "path"))
    many.append("changed")
    saver = PostgresSaver(None)  # type: ignore[arg-type]
    *_, kind, blob = blobs.rows[0]
    assert saver.serde.loads_typed((kind, blob)) == [1]
    *_, kind, blob = writes.rows[0]
    assert saver.serde.loads_typed((kind, blob)) == [1]


def test_postgres_saver_dumps_only_what_is_not_plain():
    """So that a plain value which JSON cannot hold takes the other way in a wrapping."""

    class Wrapped:
        pass

    dumped = []

    class Serde(type(PostgresSaver(None).serde)):  # type: ignore[arg-type, misc]
        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            dumped.append(type(obj))
            return "bytes", b""

    saver = OnCursor(Cursor())
    saver.serde = Serde()
    made = checkpoint(2, x=Wrapped(), y=1)
    saver.put(CONFIG, made, METADATA, made["channel_versions"])
    assert dumped == [Wrapped]


def test_postgres_savers_writes_and_deletes_are_single_statements():
    [writes] = recorded(OnCursor, some_writes)
    assert (table(writes), writes.many, len(writes.rows)) == ("checkpoint_writes", True, 2)
    deleted = recorded(OnCursor, lambda saver: saver.delete_thread("t"))
    assert [table(statement) for statement in deleted] == ["checkpoints", "checkpoint_blobs", "checkpoint_writes"]
    assert [[list(row) for row in statement.rows] for statement in deleted] == [[["t"]]] * 3


def test_postgres_saver_reads_within_a_transaction_and_leaves_it_open(contract_database):
    url = server_url(contract_database).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        PostgresSaver(connection).setup()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TEMPORARY TABLE mark (x int) ON COMMIT DROP")
        saver = PostgresSaver(connection)
        assert saver.get_tuple({"configurable": {"thread_id": "unknown"}}) is None
        assert list(saver.list({"configurable": {"thread_id": "unknown"}})) == []
        connection.execute("SELECT * FROM mark")
        connection.rollback()


# ---- SqliteSaver ----


def test_sqlite_saver_gets_its_cursors_for_writing_from_one_method():
    found = inspect.signature(SqliteSaver.cursor)
    assert list(found.parameters) == ["self", "transaction"], "SqliteSaver.cursor: _Recorder overrides it"
    for name in ("put", "put_writes", "delete_thread", "get_tuple", "list", "get_delta_channel_history"):
        source = inspect.getsource(getattr(SqliteSaver, name))
        assert "self.cursor(" in source, f"SqliteSaver.{name} does not use cursor any more"
        assert ".commit(" not in source, f"SqliteSaver.{name} ends a transaction that is not its own"
    for name in ("put", "put_writes", "delete_thread"):
        assert "self.conn" not in inspect.getsource(getattr(SqliteSaver, name))


def test_sqlite_saver_serialises_when_it_is_put_and_needs_no_setup_for_it():
    many = [1]
    made = checkpoint(2, x=many)
    [row] = recorded(OnSqliteCursor, lambda saver: saver.put(CONFIG, made, METADATA, made["channel_versions"]))
    [writes] = recorded(OnSqliteCursor, some_writes)
    many.append("changed")
    assert (table(row), row.many, table(writes), writes.many) == ("checkpoints", False, "writes", True)
    *_, kind, blob, _ = row.rows[0]
    serde = SqliteSaver(None).serde  # type: ignore[arg-type]
    assert serde.loads_typed((kind, blob))["channel_values"] == {"x": [1]}
    assert all(isinstance(value, (str, bytes, int)) for value in (*row.rows[0], *writes.rows[0])), "not in stored form"
    deleted = recorded(OnSqliteCursor, lambda saver: saver.delete_thread("t"))
    assert [table(statement) for statement in deleted] == ["checkpoints", "writes"]


def test_sqlite_saver_reads_within_a_transaction_and_leaves_it_open():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    SqliteSaver(connection).setup()

    class Reader(SqliteSaver):
        @contextmanager
        def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
            yield self.conn.cursor()

    connection.execute("BEGIN")
    reader = Reader(connection)
    assert reader.get_tuple({"configurable": {"thread_id": "unknown"}}) is None
    assert list(reader.list({"configurable": {"thread_id": "unknown"}})) == []
    assert connection.in_transaction
    connection.close()


# ---- LangGraph ----


async def test_whatever_writes_is_fenced_or_not_there(fenced):
    """Every public method of a saver: one that a later version adds must not go past the lease."""
    known = {"get_tuple", "list", "put", "put_writes", "delete_thread", "get_delta_channel_history"}
    absent = {"copy_thread", "delete_for_runs", "prune"}
    harmless = {"config_specs", "get", "aget", "get_next_version", "serde", "with_allowlist"}
    public = {name for name in dir(BaseCheckpointSaver) if not name.startswith("_")}
    assert public == {*known, *absent, *(f"a{name}" for name in known | absent), *harmless}
    own = {name for name in vars(RunSaver) if not name.startswith("_")}
    ours = {"begin", "has_progressed", "read_store"}  # they write nothing
    ours.add("write")  # of the statements of all that puts, and of a fork's copy, which tests/.../test_forks.py fences
    assert own == {*known, *(f"a{name}" for name in known), "get_next_version", *ours}
    saver = fenced.saver(await fenced.claim())
    for call in (saver.acopy_thread("a", "b"), saver.adelete_for_runs(["a"]), saver.aprune(["a"])):
        with pytest.raises(NotImplementedError):
            await call


async def _writes_of(on: Any) -> dict[str, Any]:
    found = await on.saver.aget_tuple(on.config)
    return {channel: value for _, channel, value in found.pending_writes}


async def test_an_answer_is_kept_as_its_tasks_list_of_answers_when_the_node_ends(shelf):
    """RunSaver finds by it which answers a write holds; a failed node's are kept too."""
    assert len({WRITES_IDX_MAP[name] for name in (ERROR, INTERRUPT, RESUME)}) == 3
    failing = Failing(1, ConnectionError("gone"))

    def node(state: State) -> State:
        said = [interrupt("one?"), interrupt("two?")]
        failing(state)
        return {"log": said}

    on = shelf.on(await shelf.claim(), chain(node=node))
    await on.run({"value": 1})
    [first] = (await _writes_of(on))[INTERRUPT]
    await on.run(Command(resume={first.id: 1}))
    kept = await _writes_of(on)
    [second] = kept[INTERRUPT]
    assert (kept[RESUME], first.id == second.id) == ([1], False)
    with pytest.raises(ConnectionError):
        await on.run(Command(resume={second.id: 2}))
    kept = await _writes_of(on)
    assert (kept[RESUME], [one.id for one in kept[INTERRUPT]]) == ([1, 2], [second.id])
    assert ERROR in kept
    assert (await on.run(None))["log"] == [1, 2]


async def test_nodes_that_wait_side_by_side_tell_it_one_after_the_other(shelf):
    """The stream's last part does not name all that a run waits for, which the run must."""
    builder = StateGraph(State)
    for name in "abc":
        builder.add_node(name, lambda state, name=name: {"log": [interrupt(name)]})
        builder.add_edge(START, name)
    on = shelf.on(await shelf.claim(), builder)
    stream = on.graph.astream({"value": 1}, on.config, stream_mode=["values"], durability="sync", version="v2")
    values = [one.value for part in [part async for part in stream] for one in part["interrupts"]]
    assert sorted(values) == ["a", "b", "c"]
    assert sorted(one.value for one in (await on.state()).interrupts) == ["a", "b", "c"]


async def test_ids_come_from_a_clock_that_can_be_replaced(monkeypatch):
    seen = UUID(str(langgraph_ids.uuid6(clock_seq=1)))
    monkeypatch.setattr(langgraph_ids, "time", SimpleNamespace(time_ns=lambda: 2_000_000_000_000_000_000))
    clock = IdClock()
    clock.see(str(langgraph_ids.uuid6(clock_seq=-1)))
    assert clock.time_ns() == 2_000_000_000_000_000_000 + 100
    monkeypatch.setattr(langgraph_ids, "time", clock)
    monkeypatch.setattr(langgraph_ids, "_last_v6_timestamp", None)
    made = [str(langgraph_ids.uuid6(clock_seq=2)) for _ in range(100)]
    assert [str(seen), *made] == sorted({str(seen), *made})
    assert empty_checkpoint()["id"] > made[-1], "LangGraph makes its checkpoints' ids another way"


async def test_versions_of_a_channel_are_counted_as_the_stock_saver_does(fenced):
    saver = fenced.saver(await fenced.claim())
    stock = PostgresSaver(None) if fenced.backend.shared else SqliteSaver(None)  # type: ignore[arg-type]
    ours = theirs = None
    for _ in range(12):
        ours, theirs = saver.get_next_version(ours, None), stock.get_next_version(theirs, None)
        assert str(ours).split(".")[0] == str(theirs).split(".")[0]
    assert type(ours) is type(theirs)


async def test_the_tables_are_the_stock_savers(fenced):
    """A graph that was started elsewhere goes on here, and the other way round."""
    claim = await fenced.claim()
    await put(fenced.saver(claim), claim, 1, x=[1])
    if fenced.backend.shared:
        url = server_url(fenced.backend.url).set(drivername="postgresql").render_as_string(hide_password=False)
        with PostgresSaver.from_conn_string(url) as stock:
            found = stock.get_tuple(put_config(claim))
    else:
        with SqliteSaver.from_conn_string(fenced.backend.url.removeprefix("sqlite:///")) as stock:
            found = stock.get_tuple(put_config(claim))
    assert found.checkpoint["channel_values"] == {"x": [1]}
