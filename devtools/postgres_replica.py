"""A streaming replica of a PostgreSQL that was started here, which can be promoted to the primary."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import psycopg

from devtools.errors import DevtoolsError, MissingToolError
from devtools.processes import wait_until
from devtools.system_postgres import SystemPostgres, run

_NAME = "replica"
_SECONDS = 30.0
_COPY = "pg_basebackup"


class PostgresReplica(SystemPostgres):
    """A hot standby: a copy of the primary as it is when this is entered, which follows it from then on.

    :param primary: a server that runs.
    :raises MissingToolError: there is no pg_basebackup beside the server's binaries.
    """

    origin = "a replica of the system's"

    def __init__(self, primary: SystemPostgres) -> None:
        super().__init__()
        if not os.access(self._binaries / _COPY, os.X_OK):
            raise MissingToolError(f"{self._binaries} has no {_COPY}")
        self._primary = primary
        place = urlsplit(primary.url)  # the copy has the primary's roles and passwords
        self.url = place._replace(netloc=f"{place.username}:{place.password}@127.0.0.1:{self._port}").geturl()

    def _initialise(self) -> None:
        command = [str(self._binaries / _COPY), "-d", f"{self._primary.url}?application_name={_NAME}"]
        command += ["-D", str(self._data), "--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf"]
        self._own(self.directory)
        done = run([*command, "--no-sync"], cwd=self.directory, user=self._user)
        if done.returncode != 0:
            raise DevtoolsError(f"the primary cannot be copied: {(done.stderr or done.stdout).strip()}")

    def require_for_commits(self) -> None:
        """Make each commit on the primary wait until this replica has it on disk; returns when it is so."""
        with psycopg.connect(self._primary.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = {_NAME}".encode())
            connection.execute("SELECT pg_reload_conf()")
        wait_until("the replica to be synchronous", lambda: self._state() == "sync", timeout=_SECONDS)

    def wait_for_all(self) -> None:
        """Until it has all that the primary has committed so far."""
        caught_up = "SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication"
        wait_until("the replica to catch up", lambda: self._ask_primary(caught_up) is True, timeout=_SECONDS)

    def promote(self) -> None:
        """Make it the primary, which waits for no other server; returns when it takes writes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("SELECT pg_promote()")

    def _state(self) -> object:
        return self._ask_primary("SELECT sync_state FROM pg_stat_replication")

    def _ask_primary(self, query: str) -> object:
        with psycopg.connect(self._primary.url) as connection:
            found = connection.execute(query.encode()).fetchone()
        return None if found is None else found[0]
