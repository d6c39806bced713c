from __future__ import annotations

import pytest

from langgraph_worker.settings.explain import documentation


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)
