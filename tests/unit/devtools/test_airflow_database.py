"""The database of the Airflow that the demo and the tests start."""

from __future__ import annotations

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from devtools.airflow import _database_settings


def test_who_writes_to_sqlite_waits_a_minute_for_the_lock(tmp_path):
    """By Python's default of 5 seconds a busy machine ended the scheduler, and with it all of `make dev`."""
    url = _database_settings(tmp_path, None)["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    with create_engine(url, poolclass=NullPool).connect() as connection:
        milliseconds = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
    assert milliseconds == 60_000
    assert (tmp_path / "airflow.db").exists()
