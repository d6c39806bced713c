from __future__ import annotations

import os
import sys

import pytest


@pytest.fixture
def own_imports(monkeypatch):
    """What a test imports, sets in the environment and appends to ``sys.path`` is gone after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    environment = dict(os.environ)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
    for name in set(os.environ) - set(environment):
        del os.environ[name]
