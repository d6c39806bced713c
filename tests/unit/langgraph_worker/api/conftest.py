from __future__ import annotations

from pathlib import Path

import pytest

from langgraph_worker.settings.explain import documentation
from langgraph_worker.testing.memory_store.store import MemoryDatabase, MemoryRunStore
from tests.support.fleet_api import FleetApi
from tests.support.run_store import LEASE, Clock


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FleetApi:
    """The API, with a token for each role."""
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)
    store = MemoryRunStore(MemoryDatabase(), Clock(), LEASE)
    await store.open()
    made = FleetApi(tmp_path / "tokens.toml", store)
    for role in ("viewer", "operator", "admin"):
        made.let_in(role, role)
    return made
