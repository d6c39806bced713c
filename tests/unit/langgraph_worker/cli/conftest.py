from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of this test alone."""
    return Project(tmp_path, monkeypatch)
