"""Two servers of PostgreSQL, of which one follows the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from devtools.errors import MissingToolError
from devtools.postgres import postgres_required
from devtools.postgres_replica import PostgresReplica
from devtools.system_postgres import SystemPostgres


@contextmanager
def two_servers() -> Iterator[tuple[SystemPostgres, PostgresReplica]]:
    """A primary and its replica; no commit waits for the replica yet."""
    try:
        with SystemPostgres() as primary, PostgresReplica(primary) as replica:
            yield primary, replica
    except MissingToolError as error:
        if postgres_required():
            raise
        pytest.skip(str(error))


def url_of_both(database: str, replica: SystemPostgres) -> str:
    """The URL of a database on the primary, with the replica as the second server."""
    place = urlsplit(database)
    return place._replace(netloc=f"{place.netloc},{urlsplit(replica.url).netloc.rpartition('@')[2]}").geturl()


def make_read_only(server: SystemPostgres) -> None:
    """As an operator fences a server that is no longer the primary: its sessions stay, also the present ones."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
