from __future__ import annotations

from pathlib import Path

import pytest

from langgraph_worker.settings.explain import documentation
from tests.support.commands import Project
from tests.support.runs_commands import RunsCommands


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of this test alone."""
    return Project(tmp_path, monkeypatch)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunsCommands:
    """The commands of ``runs``, on a terminal of 120 columns."""
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("LANGGRAPH_WORKER_STORE_URL", url)
    monkeypatch.setenv("COLUMNS", "120")
    return RunsCommands(url, capsys)
