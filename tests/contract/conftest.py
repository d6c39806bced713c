from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from langgraph_worker.store.sql import SqlRunStore
from tests.support.run_store import Clock, SqliteBackend


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteBackend]:
    """Each backend of the run store in turn, empty."""
    made = {"sqlite": SqliteBackend}[request.param](tmp_path / "store.db", clock)
    yield made
    await made.close()


@pytest.fixture
async def store(backend: SqliteBackend) -> SqlRunStore:
    """An open run store."""
    return await backend.open()
