"""An index that a revision adds to a large table of PostgreSQL is built while workers write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine

from langgraph_worker.store.engines.postgres import server_url
from langgraph_worker.store.migrations.migrate import config, upgrade
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.polling import until
from tests.support.run_store import request

pytestmark = pytest.mark.integration

BEFORE = "r0004"
INDEXES = {"ix_workflow_runs_published", "ix_tasks_updated_at"}
_WRITE = "UPDATE workflow_runs SET attempts = attempts + 1"
_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"
_VALID = """
    SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indisvalid AND indrelid IN ('workflow_runs'::regclass, 'tasks'::regclass)
"""


@pytest.fixture
async def raw(postgres_url: str) -> AsyncIterator[psycopg.Connection]:
    """A connection to a store of the version before, which has a run."""
    store = SqlRunStore(postgres_url)
    await store.open()
    await store.accept([request()])
    await store.close()
    engine = create_engine(server_url(postgres_url))
    with engine.connect() as connection:
        command.downgrade(config(connection), BEFORE)
        connection.commit()
    engine.dispose()
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        assert not complete(raw)
        yield raw


def complete(raw: psycopg.Connection) -> set[str]:
    return INDEXES & {name for (name,) in raw.execute(_VALID)}


async def open_and_close(url: str) -> None:
    store = SqlRunStore(url)
    await store.open()
    await store.close()


async def test_writers_go_on_while_an_index_is_built(postgres_url: str, raw: psycopg.Connection) -> None:
    with psycopg.connect(postgres_url) as slow:
        slow.execute(_WRITE)  # the build waits for the end of this transaction
        building = asyncio.create_task(open_and_close(postgres_url))
        await until(lambda: raw.execute(_WAITS).fetchone() != (0,), 15)
        with psycopg.connect(postgres_url) as worker:
            worker.execute("SET lock_timeout = '1s'")
            worker.execute("INSERT INTO tasks SELECT 'another', attempt_id, 1, 1, NULL, 0, now() FROM tasks LIMIT 1")
            worker.execute("LOCK TABLE workflow_runs IN ROW EXCLUSIVE MODE")  # as each write does
    await building
    assert complete(raw) == INDEXES


async def test_an_index_whose_build_was_cut_short_is_built_again(postgres_url: str, raw: psycopg.Connection) -> None:
    raw.execute("CREATE INDEX ix_workflow_runs_published ON workflow_runs (seq)")
    raw.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_workflow_runs_published'::regclass")
    await open_and_close(postgres_url)
    assert complete(raw) == INDEXES
    [[definition]] = raw.execute("SELECT pg_get_indexdef('ix_workflow_runs_published'::regclass)").fetchall()
    assert "(finished_at, seq)" in definition


def test_a_revision_creates_what_was_not_built_before(postgres_url: str, raw: psycopg.Connection) -> None:
    engine = create_engine(server_url(postgres_url))
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    assert complete(raw) == INDEXES
