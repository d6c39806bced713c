from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.checkpoints.saver import Checkpoints
from tests.support.checkpoints import MemorySavers, Shelf
from tests.support.run_store import Backend, Clock, empty

TESTS = Path(__file__).resolve().parents[2]  # the project whose classes are stored


async def open_shelf(database: str, request: pytest.FixtureRequest, folder: Path, **settings: Any) -> Shelf:
    if database == "postgres":
        url = request.getfixturevalue("contract_database")
        empty(url)
    else:
        url = f"sqlite:///{folder}/store.db"
    backend = Backend(url, Clock(), shared=database == "postgres")
    store = await backend.open(**settings)
    if database == "memory":
        return Shelf(backend, store, MemorySavers())
    checkpoints = Checkpoints(store, loadable=LoadableClasses([TESTS]))
    await checkpoints.setup()
    return Shelf(backend, store, checkpoints)


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """Each saver in turn, empty; LangGraph's own in memory is what the others are compared with."""
    opened = await open_shelf(request.param, request, tmp_path)
    yield opened
    await opened.backend.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def fenced(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """Each saver that minds who owns a thread."""
    opened = await open_shelf(request.param, request, tmp_path)
    yield opened
    await opened.backend.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def trimmed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """Each saver on a store that keeps five checkpoints of a thread."""
    opened = await open_shelf(request.param, request, tmp_path, keep_checkpoints=5)
    yield opened
    await opened.backend.close()
