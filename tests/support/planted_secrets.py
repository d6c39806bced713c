"""Secrets that every worker of the tests knows, and that nothing of what it writes may show: each test hunts them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from devtools.broker import Broker
from workflow_events import Fleet

API_KEY = "sk-planted-4Qz81xW7"
URL_PASSWORD = "planted/in a#url 5"

VARIABLES = {
    "ACME_API_KEY": API_KEY,
    "ACME_URL": f"https://acme:{quote(URL_PASSWORD, safe='')}@acme.test/api",
}
"""Of each worker's environment."""

_FORMS = tuple(form.encode() for form in (API_KEY, URL_PASSWORD, quote(URL_PASSWORD, safe=""), quote(URL_PASSWORD)))


def found_in(data: bytes, *further: str) -> bool:
    """Whether a planted secret is there, in any form.

    :param further: others.
    """
    return any(form in data for form in (*_FORMS, *map(str.encode, further)))


def hunt(folder: Path, environment: Mapping[str, str]) -> None:
    """Look at what a worker has written: its logs, and what its store keeps to be looked at. The passwords of its store
    and of its broker are hunted, too.
    """
    url = environment.get("LANGGRAPH_WORKER_STORE_URL", "")
    passwords = (urlsplit(url).password, json.loads(environment.get("KAFKA_CONFIG", "{}")).get("sasl.password"))
    known = [password for password in passwords if password]
    leaks = [*_in_logs(folder, known), *_in_store(url, known)]
    assert not leaks, f"a planted secret is in {', '.join(leaks)}"


def hunt_topics(broker: Broker, fleet: Fleet) -> None:
    """Look at the records of a fleet, as they lie in the broker's files: but not at the events, which others write."""
    if broker.kind != "apache":
        return
    data: Path = broker.directory / "data"  # type: ignore[attr-defined]
    written = (fleet.results, fleet.control, fleet.progress, fleet.graphs, fleet.dead_letters)
    files = [file for topic in written for file in data.glob(f"{topic}-*/*.log")]
    leaks = [file.parent.name for file in files if found_in(file.read_bytes())]
    assert not leaks, f"a planted secret is in {', '.join(leaks)}"


def _in_logs(folder: Path, known: Sequence[str]) -> Iterator[str]:
    for file in folder.rglob("*.log"):
        if file.is_file() and found_in(file.read_bytes(), *known):
            yield str(file)


_LOOKED_AT = {
    "workflow_runs": ("convert_from(reply_value, 'UTF8')",),
    "step_executions": ("input", "output", "error"),
    "workflow_errors": ("message", "traceback"),
}


def _in_store(url: str, known: Sequence[str]) -> Iterator[str]:
    """What the store of a PostgreSQL keeps for people; checkpoints and inputs are what runs go on from."""
    if not url.startswith("postgresql"):
        return
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        for table, columns in _LOOKED_AT.items():
            if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
                continue
            for row in connection.execute(f"SELECT {', '.join(f'{one}::text' for one in columns)} FROM {table}"):
                if any(found_in(str(value).encode(), *known) for value in row if value is not None):
                    yield f"table {table}"


def plant() -> None:
    """Into the environment of this process, which all that tests start inherit."""
    os.environ.update(VARIABLES)


def judge(report: pytest.TestReport) -> None:
    """Fail a test whose output shows a planted secret."""
    shown = "".join([report.longreprtext, *(text for _, text in report.sections)])
    if found_in(shown.encode("utf-8", "replace")):
        report.outcome = "failed"
        report.longrepr = "a planted secret is in the output of this test"
        report.sections.clear()
