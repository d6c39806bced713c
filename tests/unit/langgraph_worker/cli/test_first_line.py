"""What a person sees of a worker that starts, before anything is imported that takes a while."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from langgraph_worker import __version__
from langgraph_worker.cli.first_line import write_first_line

pytestmark = pytest.mark.timeout(120)  # it starts processes that import LangGraph

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    \[starting\] langgraph-worker "
    + re.escape(__version__)
    + " starts: reading its settings\n"
)
LEVEL = "LANGGRAPH_WORKER_LOG_LEVEL"


@pytest.fixture(autouse=True)
def no_level(monkeypatch):
    monkeypatch.delenv(LEVEL, raising=False)


def test_a_worker_says_at_once_that_it_starts(capsys):
    write_first_line(["run", "--fleet", "risk"])
    assert LINE.fullmatch(capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [[], ["check"], ["try", "run"], ["run", "--help"], ["--version"]])
def test_other_commands_print_nothing_of_it(arguments, capsys):
    write_first_line(arguments)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("flags", [["--log-level", "WARNING"], ["--log-level=ERROR"]])
def test_a_level_above_info_leaves_it_out(flags, capsys, monkeypatch):
    write_first_line(["run", *flags])
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(LEVEL, "ERROR")
    write_first_line(["run"])
    assert capsys.readouterr().err == ""
    write_first_line(["run", "--log-level=INFO"])  # a flag wins
    assert LINE.fullmatch(capsys.readouterr().err)


@pytest.mark.parametrize("flags", [[], ["--log-format=json"]])
def test_a_log_of_json_begins_with_json(flags, capsys, monkeypatch):
    monkeypatch.setenv("LANGGRAPH_WORKER_LOG_FORMAT", "text" if flags else "json")
    write_first_line(["run", *flags])
    found = json.loads(capsys.readouterr().err)
    assert list(found) == ["time", "level", "logger", "action", "message"]
    assert found["message"].endswith("starts: reading its settings")


def test_nothing_that_takes_a_while_is_imported_before_it():
    found = imported_by("import langgraph_worker.cli as cli; cli.write_first_line(['run'])")
    assert not found & {"pydantic", "pydantic_settings", "sqlalchemy", "confluent_kafka", "langgraph", "asyncio"}


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        ("import langgraph_worker.cli.command_line as it; it.read_command_line(['run'])", {"sqlalchemy", "alembic"}),
        ("import langgraph_worker.cli.check, langgraph_worker.cli.prune", set[str]()),
        ("import langgraph_worker.settings.load as it; it.load_settings({})", {"alembic", "confluent_kafka"}),
    ],
)
def test_a_command_imports_what_it_needs_and_no_more(command, absent):
    assert not imported_by(command) & (absent | {"langgraph", "langchain_core", "psycopg"})


def test_an_sqlite_store_needs_nothing_of_postgresql():
    found = imported_by(
        "from langgraph_worker.checkpoints.memories import Memories\n"
        "from langgraph_worker.checkpoints.saver import Checkpoints\n"
        "from langgraph_worker.runtime.process import serve\n"
        "from langgraph_worker.store.sql.run_store import SqlRunStore\n"
        "store = SqlRunStore('sqlite:///never-opened.db')\n"
        "Checkpoints(store), Memories(store)"
    )
    assert not found & {"psycopg", "psycopg_pool", "langgraph.store.postgres", "langgraph.checkpoint.postgres"}


def imported_by(code: str) -> set[str]:
    """The modules that a new process has then."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "LANGGRAPH_"))},
    )
    return set(shown.stdout.split())
