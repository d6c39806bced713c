"""The SQLite file itself: its URL, what can be wrong with it, its schema, and its neighbour, LangGraph's saver."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect

from langgraph_worker.errors import SettingsError, StoreError
from langgraph_worker.store.engines import sqlite
from langgraph_worker.store.migrations.migrate import VERSION_TABLE, config, upgrade
from langgraph_worker.store.migrations.schema import metadata
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def store_in(path: Path) -> SqlRunStore:
    return SqlRunStore(f"sqlite:///{path}")


async def refused(path: Path) -> str:
    """The message with which a store refuses to open; it must not keep the lock, nor hope that waiting helps."""
    store = store_in(path)
    with pytest.raises(StoreError) as caught:
        await store.open()
    assert not caught.value.retriable
    assert str(path) in str(caught.value)
    with pytest.raises(StoreError, match="not open"):
        await store.counts()
    return str(caught.value)


def test_urls_name_relative_and_absolute_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SqlRunStore("sqlite:///runs.db").database.place == str(tmp_path / "runs.db")
    assert SqlRunStore("sqlite:////var/lib/runs.db").database.place == "/var/lib/runs.db"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://me:hunter2@db", "must name a database"),
        ("postgresql+asyncpg://me:hunter2@db/runs", "'postgresql[+]asyncpg' is not supported"),
        ("mysql://me:hunter2@db/runs", "'mysql' is not supported"),
        ("sqlite+pysqlite:///runs.db", "'sqlite[+]pysqlite' is not supported"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///runs.db?mode=ro", "must name a file"),
        ("sqlite://host/runs.db", "must name a file"),
        ("/var/lib/hunter2.db", "not a URL"),
        ("", "not a URL"),
    ],
)
def test_other_urls_are_refused_by_name(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        SqlRunStore(url)
    assert "LANGGRAPH_WORKER_STORE_URL" in str(caught.value)
    assert ("postgresql://user" if url.startswith("postgresql://") else "sqlite:///relative.db") in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    text = await refused(tmp_path / "missing" / "store.db")
    assert "does not exist: create it" in text


async def test_a_directory_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.mkdir()
    assert "is a directory" in await refused(path)


@pytest.mark.parametrize("mode", [0o555, 0o000], ids=["read-only", "closed"])
def test_a_directory_that_cannot_be_written_is_named(mode: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        directory.chmod(mode)
        as_root = os.geteuid() == 0
        if as_root:
            os.seteuid(65534)  # nobody: for root every directory is writable
        try:
            text = asyncio.run(refused(directory / "store.db"))
        finally:
            if as_root:
                os.seteuid(0)
            directory.chmod(0o700)
    assert "Permission denied" in text
    assert f"Make {directory} writable" in text


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"hello, world\n" * 1000)
    text = asyncio.run(refused(path))
    assert "is damaged or no SQLite file" in text
    assert "restore it from a backup" in text
    assert path.read_bytes().startswith(b"hello")


async def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    store = store_in(path)
    await store.open()
    await store.accept([request()])
    await store.close()
    with sqlite3.connect(path) as raw:
        raw.execute(f"UPDATE {VERSION_TABLE} SET version_num = 'r9999'")
    raw.close()
    text = await refused(path)
    assert "'r9999'" in text
    assert "upgrade this worker" in text
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT count(*) FROM workflow_runs").fetchone() == (1,)
    raw.close()


async def test_tables_of_something_else_are_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE tasks (todo TEXT)")
    raw.close()
    assert "holds tables of something else (tasks)" in await refused(path)


def with_connection(path: Path) -> Connection:
    return create_engine(f"sqlite:///{path}").connect()


def test_the_revisions_arrive_at_the_schema(path: Path) -> None:
    with with_connection(path) as connection:
        upgrade(connection)
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        checks = {
            (table, check["name"], check["sqltext"])
            for table in metadata.tables
            for check in inspect(connection).get_check_constraints(table)
        }
    connection.engine.dispose()
    other = create_engine("sqlite://")
    metadata.create_all(other)
    expected = {
        (table, check["name"], check["sqltext"])
        for table in metadata.tables
        for check in inspect(other).get_check_constraints(table)
    }
    other.dispose()
    assert checks == expected
    assert checks


def test_the_first_revision_can_be_reverted(path: Path) -> None:
    with with_connection(path) as connection:
        upgrade(connection)
        command.downgrade(config(connection), "base")
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
        upgrade(connection)
    connection.engine.dispose()


async def test_an_upgrade_that_fails_leaves_nothing_half_done(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("pulled the plug")

    monkeypatch.setattr(MigrationContext, "_ensure_version_table", breaks)
    with pytest.raises(RuntimeError, match="plug"):
        await store_in(path).open()
    monkeypatch.undo()
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    raw.close()
    store = store_in(path)
    await store.open()
    await store.close()


async def test_the_connections_are_as_durable_as_promised(path: Path) -> None:
    store = store_in(path)
    await store.open()
    found = {}
    for pragma in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
        found[pragma] = await store.read(partial(_pragma, name=pragma))
    await store.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


async def test_a_file_system_without_a_write_ahead_log_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network share, where SQLite has no shared memory: it keeps its older journal, and reports no error."""

    def connect(**arguments: Any) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{path}?vfs=unix-none", uri=True, check_same_thread=False)

    monkeypatch.setattr(sqlite, "create_engine", partial(create_engine, creator=connect))
    text = await refused(path)
    assert "journal_mode is delete and not wal" in text
    assert "put it on a local disk" in text


async def test_opening_twice_changes_no_schema(path: Path) -> None:
    schemas = []
    for _ in range(2):
        store = store_in(path)
        await store.open()
        await store.close()
        with sqlite3.connect(path) as raw:
            schemas.append(raw.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall())
        raw.close()
    assert schemas[0] == schemas[1]


def _pragma(connection: Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "of an older worker"])
async def test_no_other_user_reads_its_files(path: Path, is_old: bool) -> None:
    if is_old:
        store = store_in(path)
        await store.open()
        await store.accept([request()])
        left = [path, *path.parent.glob("store.db*")]  # also what a killed worker leaves
        for file in left:
            file.chmod(0o644)
        await store.close()
    before = os.umask(0)
    try:
        store = store_in(path)
        await store.open()
        await store.accept([request()])
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(before)
    assert modes == {f"store.db{ending}": "0o600" for ending in ("", "-wal", "-shm", ".lock")}
