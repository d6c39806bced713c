"""A database's connections."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from langgraph_worker.store.engines.sqlite import SqliteDatabase


def test_a_transaction_that_outlives_its_database_closes_its_connection(tmp_path):
    database = SqliteDatabase(tmp_path / "store.db", now=lambda: datetime.now(UTC))
    database.open(alone=True)
    begun, go_on = threading.Event(), threading.Event()
    raw: list[sqlite3.Connection] = []

    def work(connection, now):
        raw.append(connection.connection.driver_connection)
        begun.set()
        assert go_on.wait(10)

    writing = threading.Thread(target=database.write, args=(work,))
    writing.start()
    assert begun.wait(10)
    database.close()
    go_on.set()
    writing.join(10)
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        raw[0].total_changes  # noqa: B018 - asks the connection
