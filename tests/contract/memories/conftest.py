from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.memories import Desk, open_desk
from tests.support.run_store import Backend, Clock, empty


@pytest.fixture(params=["sqlite", "postgres"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Desk]:
    """The long-term memory on each database, empty."""
    if request.param == "postgres":
        url = request.getfixturevalue("contract_database")
        empty(url)
    else:
        url = f"sqlite:///{tmp_path}/store.db"
    backend = Backend(url, clock, shared=request.param == "postgres")
    yield await open_desk(backend)
    await backend.close()
