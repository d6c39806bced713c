from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from devtools.postgres import PostgresServer
from tests.support.hostile_defaults import set_defaults
from tests.support.memories import Desk, open_desk
from tests.support.run_store import Backend, Clock, empty
from tests.support.word_vectors import word_index


@pytest.fixture(scope="session")
def contract_vectors(request: pytest.FixtureRequest) -> Iterator[str]:
    """As ``contract_database``, on a server that has pgvector."""
    server: PostgresServer = request.getfixturevalue("vector_server")
    url = server.create_database("vectors")
    set_defaults(url)
    yield url
    server.drop_database(url)


def backend_on(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Backend:
    """An empty database of the kind that the fixture's parameter names."""
    if request.param == "sqlite":
        return Backend(f"sqlite:///{folder}/store.db", clock, shared=False)
    url = request.getfixturevalue("contract_vectors" if request.param == "vectors" else "contract_database")
    empty(url)
    return Backend(url, clock, shared=True)


@pytest.fixture(params=["sqlite", "postgres", "vectors"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Desk]:
    """The long-term memory on each database, empty; on PostgreSQL also with an index of all values."""
    backend = backend_on(request, tmp_path, clock)
    yield await open_desk(backend, word_index() if request.param == "vectors" else None)
    await backend.close()


@pytest.fixture(params=["sqlite", "vectors"])
async def indexed(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Desk]:
    """The long-term memory on each database that finds by meaning, empty, with an index of all values."""
    backend = backend_on(request, tmp_path, clock)
    yield await open_desk(backend, word_index())
    await backend.close()
