from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from devtools.postgres import PostgresServer
from langgraph_worker.store.migrations.migrate import upgrade
from tests.support.hostile_defaults import set_defaults
from tests.support.memory_backend import MemoryBackend
from tests.support.run_store import Backend, Clock, Store, empty


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def contract_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """One PostgreSQL database for all contract tests, emptied for each: a schema takes long to make.

    Its defaults are hostile: no answer of the store may depend on how its database is set up.
    """
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database("contract")
    set_defaults(url)
    yield url
    server.drop_database(url)


@pytest.fixture(scope="session")
def contract_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store without runs, to be copied."""
    path = tmp_path_factory.mktemp("contract") / "store.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Backend]:
    """Each backend of the run store in turn, empty."""
    made: Backend
    match request.param:
        case "sqlite":
            file = shutil.copy(request.getfixturevalue("contract_file"), tmp_path)
            made = Backend(f"sqlite:///{file}", clock, shared=False)
        case "memory":
            made = MemoryBackend(clock)
        case _:
            url = request.getfixturevalue("contract_database")
            empty(url)
            made = Backend(url, clock, shared=True)
    yield made
    await made.close()


@pytest.fixture
async def store(backend: Backend) -> Store:
    """An open run store."""
    return await backend.open()
