"""A PostgreSQL database whose defaults are not what the worker's protocol needs: the worker must not rely on them."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

HOSTILE: Mapping[str, str] = {
    "default_transaction_isolation": "repeatable read",
    "TimeZone": "America/St_Johns",  # west of UTC, by hours and a half
    "synchronous_commit": "off",
    "DateStyle": "SQL, DMY",
    "client_encoding": "LATIN1",
    "client_min_messages": "error",
    "idle_in_transaction_session_timeout": "0",
}
"""Settings of sessions, as an administrator may choose them for a database or a user."""


def set_defaults(url: str, settings: Mapping[str, str] = HOSTILE) -> None:
    """Make these the defaults of the database's next sessions."""
    with psycopg.connect(url, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        for name, value in settings.items():
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
            connection.execute(statement.format(database, sql.Identifier(name), sql.Literal(value)))
