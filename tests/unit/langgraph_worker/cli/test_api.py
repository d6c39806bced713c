"""``langgraph-worker api`` and ``api-token``: what they print, and what they refuse before anything is served."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

from langgraph_worker.api.tokens import TokenFile
from langgraph_worker.cli.command_line import main
from langgraph_worker.settings.explain import documentation


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)
    monkeypatch.setenv("LANGGRAPH_WORKER_STORE_URL", f"sqlite:///{tmp_path}/store.db")


def test_a_token_lets_in_whom_its_entry_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["api-token", 'the "desk"', "--role", "operator", "--graph", "a", "--graph", "b", "--deployment", ""]
    assert main(words) == 0
    printed = capsys.readouterr()
    (tmp_path / "tokens.toml").write_text(printed.out)
    token = printed.err.split()[-1]
    assert token not in printed.out
    found = TokenFile(tmp_path / "tokens.toml").find(token)
    assert found is not None
    assert (found.name, found.role.value) == ('the "desk"', "operator")
    assert (found.scope.graphs, found.scope.deployments) == ({"a", "b"}, {""})
    assert "add the lines above to the file that LANGGRAPH_WORKER_API_TOKENS_FILE names" in printed.err


def test_a_viewer_is_the_least(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["api-token", "desk"]) == 0
    assert 'role = "viewer"\n' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_a_wrong_name_is_refused(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["api-token", name]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "tokens.0.name: String should have at " in printed.err


def test_without_tokens_nothing_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api"]) == 2
    error = capsys.readouterr().err
    assert "LANGGRAPH_WORKER_API_TOKENS_FILE is not set" in error
    assert "`langgraph-worker api-token NAME` prints a token" in error


def test_a_port_that_is_taken_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tokens.toml").write_text("")
    monkeypatch.setenv("LANGGRAPH_WORKER_API_TOKENS_FILE", str(tmp_path / "tokens.toml"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["api", "--api-port", str(port)]) == 2
    error = capsys.readouterr().err
    assert f"LANGGRAPH_WORKER_API_PORT: 127.0.0.1:{port} cannot be used: Address already in use" in error


def test_a_host_that_is_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tokens.toml").write_text("")
    monkeypatch.setenv("LANGGRAPH_WORKER_API_TOKENS_FILE", str(tmp_path / "tokens.toml"))
    assert main(["api", "--api-host", "not a host"]) == 2
    assert "correct LANGGRAPH_WORKER_API_HOST" in capsys.readouterr().err


def test_without_the_extra_its_name_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fastapi" else find(name))
    assert main(["api"]) == 2
    assert "the package fastapi is missing: pip install 'airflow-provider-langgraph[worker,api]'" in (
        capsys.readouterr().err
    )
