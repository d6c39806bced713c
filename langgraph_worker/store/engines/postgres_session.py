"""What the worker needs of each of its PostgreSQL sessions, set and checked by itself (rule 20).

A database, a role, the environment (``PGOPTIONS``) and the store's URL may all say otherwise. So the settings are no
part of the connection's request, which a pooler may refuse or ignore, but set in the session before its first use.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from langgraph_worker.store.engines.database import final

ENCODING = "UTF8"
"""The only encoding of a database that can keep whatever an event holds."""

_WAITS_FOR_REPLICAS = "SyncRepWaitForLSN"
_DURABLE_COMMITS = ("on", "remote_apply")  # the second also waits until a replica shows it

_SETTINGS = {
    # Each statement sees what was committed before it, also by the transactions whose locks it has waited for.
    "default_transaction_isolation": "read committed",
    "timezone": "UTC",  # an instant near the year 1 or 9999 has no form in another zone
    "datestyle": "ISO, MDY",  # psycopg reads no other
    "client_encoding": ENCODING,
    "client_min_messages": "warning",  # see CancelledWaits
}

_DEFAULTS = {"statement_timeout": "60s", "lock_timeout": "20s"}
"""What only has to be reasonable: the ``options`` of the store's URL may say otherwise."""

# Keeps a synchronous_commit that waits for more than the default does.
_SET_COMMIT = f"""
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ({", ".join(f"'{value}'" for value in _DURABLE_COMMITS)})
"""


def prepare_session(connection: psycopg.Connection[Any], idle_seconds: float, options: str) -> None:
    """Set what the protocol needs, for as long as the session lasts. The connection is new.

    :param idle_seconds: the server ends a transaction that stands idle for so long.
    :param options: the URL's own, which the session has already; may be empty.
    :raises psycopg.Error: the server refuses, or is away; the connection is closed.
    """
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in options}
    settings = defaults | _SETTINGS | {"idle_in_transaction_session_timeout": f"{idle_seconds * 1000:.0f}"}
    try:
        connection.autocommit = True
        # Two statements: a query would have to wait if the session began with "serializable, read only, deferrable".
        connection.execute(sql.SQL("; ").join(_set(name, value) for name, value in settings.items()))
        connection.execute(_SET_COMMIT.encode())
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise


def _set(name: str, value: str) -> sql.Composed:
    return sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value))


class CancelledWaits:
    """Commits that the server reported as done although their wait for a replica was cancelled, for each thread."""

    def __init__(self) -> None:
        self._found = threading.local()

    def watch(self, connection: psycopg.Connection[Any]) -> None:
        """Notice them on this connection."""
        connection.add_notice_handler(self._note)

    def take(self) -> bool:
        """Whether there was one in this thread since the last call."""
        found, self._found.one = getattr(self._found, "one", False), False
        return found

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.source_function == _WAITS_FOR_REPLICAS:  # its text is in the server's language
            self._found.one = True


def require_encoding(connection: psycopg.Connection[Any], place: str) -> None:
    """:raises StoreError: the database has an encoding in which it cannot keep every text."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise final(
            f"the run store {place} has the encoding {encoding}, which cannot keep every text: create a database with "
            f"ENCODING '{ENCODING}'"
        )


def require_settings(connection: psycopg.Connection[Any], place: str) -> None:
    """Check a session that :func:`prepare_session` has prepared.

    :raises StoreError: it has other settings: something between the worker and the server has undone them.
    """
    wanted = _SETTINGS | {"synchronous_commit": " or ".join(_DURABLE_COMMITS)}
    found = _shown(connection, wanted)
    wrong = [
        f"{name} is {found[name]!r} and not {value}"
        for name, value in wanted.items()
        if found[name].lower() not in value.lower().split(" or ")
    ]
    if wrong:
        raise final(f"the run store {place} does not keep its session's settings ({', '.join(wrong)}): {_REMEDY}")


def require_own_session(others: psycopg.Connection[Any], lock: int, place: str) -> None:
    """Check that two connections are two sessions.

    :param others: a second connection.
    :param lock: an advisory lock that the first connection holds.
    :raises StoreError: the second one can take the lock too: a pooler gives both the same session of the server.
    """
    if others.execute("SELECT pg_try_advisory_lock(%s)", [lock]).fetchone() == (True,):
        others.execute("SELECT pg_advisory_unlock_all()")
        raise final(f"the run store {place} is behind a pooler that gives one session to several clients: {_REMEDY}")


def replication_risk(connection: psycopg.Connection[Any], place: str) -> str:
    """What a failover would lose of what is committed; empty if the server shows nothing of the kind.

    It needs no rights: also a user who may not see the replicas' names sees how many there are.
    """
    found = connection.execute(_FOLLOWERS).fetchone()
    if found is None or not found[0]:
        return ""
    return (
        f"no commit in the run store {place} waits for a replica (synchronous_standby_names is empty), and it has "
        f"{found[0]}: if one is promoted, requests that were accepted last are lost, and runs that ended last run "
        "again. Name the replicas that may be promoted in the primary's synchronous_standby_names"
    )


_FOLLOWERS = b"""
SELECT count(*) FROM pg_stat_replication
WHERE current_setting('synchronous_standby_names') = '' AND state IS DISTINCT FROM 'backup'
"""

_REMEDY = "connect to the server itself, or set the pooler's mode to session pooling"


def _shown(connection: psycopg.Connection[Any], names: Iterable[str]) -> Mapping[str, str]:
    shown = {}
    for name in names:
        row = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
        shown[name] = "" if row is None else str(row[0])
    return shown
