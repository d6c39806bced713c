"""Secrets of a worker: where they may come from, and who must not see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from langgraph_worker.cli import main
from langgraph_worker.errors import SettingsError
from langgraph_worker.settings.explain import documentation
from langgraph_worker.settings.load import load_settings, misspelt_variables

CONFIG = '{"sasl.password": "geheim"}'
URL = "postgresql://me:geheim@localhost:1/runs"
SECRETS = {"kafka_config": "KAFKA_CONFIG", "store_url": "LANGGRAPH_WORKER_STORE_URL"}
# Imported as a project's graph: it writes down what it, and a process that it starts, find in the environment.
PROJECT = """
import json, os, subprocess, sys
from langgraph.graph import START, MessagesState, StateGraph
show = "import os, json; print(json.dumps(dict(os.environ)))"
child = json.loads(subprocess.run([sys.executable, "-c", show], capture_output=True, check=True).stdout)
with open(os.environ["SEEN"], "w") as file:
    json.dump([dict(os.environ), child], file)
graph = StateGraph(MessagesState).add_node("n", lambda s: {}).add_edge(START, "n").compile()
"""


def test_every_secret_has_a_file_and_no_flag():
    settings = {setting.field: setting for setting in documentation()}
    assert {setting.field: setting.env for setting in settings.values() if setting.secret} == SECRETS
    for field, env in SECRETS.items():
        assert settings[field].flag == ""
        assert settings[f"{field}_file"].env == f"{env}_FILE"
        assert settings[f"{field}_file"].flag


@pytest.mark.parametrize("by_flag", [True, False])
def test_a_file_holds_a_secret(monkeypatch, tmp_path, by_flag):
    (tmp_path / "config").write_text(f"{CONFIG}\n")
    (tmp_path / "url").write_text(f"  {URL}\n\n")
    paths = {"kafka_config_file": str(tmp_path / "config"), "store_url_file": str(tmp_path / "url")}
    if not by_flag:
        for field, path in paths.items():
            monkeypatch.setenv(f"{SECRETS[field.removesuffix('_file')]}_FILE", path)
    settings = load_settings(paths if by_flag else {})
    assert settings.kafka_config == {"sasl.password": "geheim"}
    assert settings.store_url == URL
    assert misspelt_variables() == []


@pytest.mark.parametrize("around", [b"%s", b"\xef\xbb\xbf%s\r\n", b"\n\t%s "], ids=["bare", "windows", "blanks"])
def test_what_an_editor_adds_to_a_file_is_not_its_value(monkeypatch, tmp_path, around):
    (tmp_path / "config").write_bytes(around % CONFIG.encode())
    (tmp_path / "mounted").symlink_to(tmp_path / "config")  # as Kubernetes mounts a secret
    monkeypatch.setenv("KAFKA_CONFIG_FILE", str(tmp_path / "mounted"))
    assert load_settings({}).kafka_config == {"sasl.password": "geheim"}


@pytest.mark.parametrize("env", SECRETS.values())
def test_a_secret_has_one_place(monkeypatch, tmp_path, env):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv(env, "{}")
    monkeypatch.setenv(f"{env}_FILE", str(tmp_path / "file"))
    with pytest.raises(SettingsError, match=f"^{env}, {env}_FILE: both are set. Unset one"):
        load_settings({})


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read"), (b" \n", "is empty"), (b"\xff geheim", "is not UTF-8")],
)
def test_a_file_without_a_value_is_named(monkeypatch, tmp_path, content, reason):
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    monkeypatch.setenv("LANGGRAPH_WORKER_STORE_URL_FILE", str(tmp_path / "file"))
    with pytest.raises(SettingsError, match=f"^LANGGRAPH_WORKER_STORE_URL_FILE='.*file': the file {reason}") as caught:
        load_settings({})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "content", "reason"),
    [
        ("KAFKA_CONFIG", "sasl.password=geheim", "is not JSON"),
        ("KAFKA_CONFIG", '{"acks": "geheim"}', "acks: must be all"),
        ("KAFKA_CONFIG", '{"sasl.password": ["geheim"]}', "sasl.password"),
        ("LANGGRAPH_WORKER_STORE_URL", "mysql://me:geheim@host/db", "is not supported"),
    ],
)
def test_a_wrong_value_in_a_file_is_explained_without_it(monkeypatch, tmp_path, env, content, reason):
    (tmp_path / "file").write_text(content)
    monkeypatch.setenv(f"{env}_FILE", str(tmp_path / "file"))
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert str(caught.value).startswith(f"{env} (file {tmp_path / 'file'}): ")
    assert reason in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("command", ["run", "check", "prune", "graphs", "pause", "unpause", "pauses"])
@pytest.mark.parametrize("form", [["--store-url", URL], [f"--store-url={URL}"], ["--kafka-config", CONFIG]])
def test_a_flag_for_a_secret_is_refused_without_repeating_it(capsys, command, form):
    with pytest.raises(SystemExit) as ended:
        main([command, *form])
    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"{form[0].partition('=')[0]} is no flag: it would show a secret" in printed
    assert "geheim" not in printed


@pytest.mark.parametrize("spelling", [str.upper, str.lower], ids=["upper", "lower"])
def test_a_project_and_its_children_see_no_secret(tmp_path: Path, spelling) -> None:
    (tmp_path / "desk.py").write_text(PROJECT)
    # One file of variables for the worker and the project: the worker's service reads it, and langgraph.json names it.
    (tmp_path / ".env").write_text(f"{spelling('KAFKA_CONFIG')}='{CONFIG}'\nLANGGRAPH_WORKER_STORE_URL={URL}\n")
    manifest = {"dependencies": ["."], "graphs": {"g": "./desk.py:graph"}, "env": ".env"}
    (tmp_path / "langgraph.json").write_text(json.dumps(manifest))
    secrets = {spelling("KAFKA_CONFIG"): CONFIG, spelling("LANGGRAPH_WORKER_STORE_URL"): URL}
    others = {name: value for name, value in os.environ.items() if name.upper() not in SECRETS.values()}
    env = others | secrets | {"SEEN": str(tmp_path / "seen"), "KAFKA_BOOTSTRAP_SERVERS": "kept:1"}
    command = [sys.executable, "-m", "langgraph_worker", "graphs"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for seen in json.loads((tmp_path / "seen").read_text()):
        assert seen["KAFKA_BOOTSTRAP_SERVERS"] == "kept:1"
        assert "geheim" not in json.dumps(seen)
