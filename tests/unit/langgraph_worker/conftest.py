from __future__ import annotations

import logging
import os
import sys

import pytest

from langgraph_worker.telemetry.steady_loggers import SteadyLogger


@pytest.fixture(autouse=True)
def usual_loggers():
    """A command that sets up logging makes the worker's loggers steady: later tests need those that can be set."""
    yield
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, SteadyLogger):
            logger.__class__ = logging.Logger


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
