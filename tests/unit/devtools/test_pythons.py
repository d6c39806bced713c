"""Which other Pythons a machine has."""

from __future__ import annotations

import sys

from devtools import pythons
from devtools.pythons import find_python, main


def test_the_python_that_runs_the_tests_is_found():
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_python(version) is not None


def test_a_python_that_does_not_run_is_none(tmp_path, monkeypatch):
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_python("3.99") is None


def test_a_python_that_is_missing_is_named_and_fails_nothing(monkeypatch, capsys):
    monkeypatch.setattr(pythons, "VERSIONS", ("3.99",))
    assert main() == 0
    assert capsys.readouterr().out == "Python 3.99: not on this machine, so not tested\n"
