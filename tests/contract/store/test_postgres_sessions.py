"""A worker's sessions on PostgreSQL: the worker sets what the protocol needs, whatever the database's defaults are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import Connection, make_url

from devtools.postgres import PostgresServer
from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.checkpoints.postgres_dialect import PostgresCheckpoints
from langgraph_worker.checkpoints.serializer import NamingSerializer
from langgraph_worker.domain.models import Cancel, Cancelled, Decision
from langgraph_worker.errors import StoreError
from langgraph_worker.store.engines import postgres
from langgraph_worker.store.engines.postgres import PostgresDatabase
from langgraph_worker.store.engines.postgres_session import require_own_session
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.hostile_defaults import set_defaults
from tests.support.run_store import WEEK, request

pytestmark = pytest.mark.integration

NEEDED = {
    "transaction_isolation": "read committed",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "synchronous_commit": "on",
    "client_encoding": "UTF8",
    "client_min_messages": "warning",
    "idle_in_transaction_session_timeout": "15s",
}


def with_query(url: str, **query: str) -> str:
    return make_url(url).update_query_dict(query).render_as_string(hide_password=False)


def shown(connection: Connection, *names: str) -> dict[str, str]:
    return {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names or NEEDED}


async def settings_in(url: str, *names: str) -> Mapping[str, str]:
    store = SqlRunStore(url, lease_seconds=30)
    await store.open()
    try:
        return await store.read(lambda connection: shown(connection, *names))
    finally:
        await store.close()


async def test_every_kind_of_connection_has_what_the_protocol_needs(postgres_url: str) -> None:
    store = SqlRunStore(postgres_url, lease_seconds=30)
    await store.open()
    database = cast(PostgresDatabase, store.database)
    try:
        PostgresCheckpoints(database, NamingSerializer(LoadableClasses())).setup()
        assert await store.read(shown) == NEEDED
        assert database.write(lambda connection, _: shown(connection)) == NEEDED
        with database.alone() as raw:
            assert {name: one(raw, f"SHOW {name}") for name in NEEDED} == NEEDED
    finally:
        await store.close()


def one(raw: psycopg.Connection[Any], query: str) -> Any:
    row = raw.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


async def test_a_users_own_options_take_nothing_away(postgres_url: str) -> None:
    url = with_query(
        postgres_url,
        options="-c default_transaction_isolation=serializable -c TimeZone=Asia/Tokyo -c lock_timeout=7s "
        "-c idle_in_transaction_session_timeout=0",
        client_encoding="latin1",
        application_name="mine",
    )
    assert await settings_in(url) == NEEDED
    # What the protocol does not need is the user's own, and the worker's defaults stay beside it.
    own = {"lock_timeout": "7s", "statement_timeout": "1min", "application_name": "mine"}
    assert await settings_in(url, *own) == own


async def test_the_role_may_have_defaults_of_its_own(postgres_url: str) -> None:
    database = make_url(postgres_url).database
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute(f"ALTER ROLE CURRENT_USER IN DATABASE \"{database}\" SET TimeZone = 'Asia/Tokyo'".encode())
        raw.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{database}" SET synchronous_commit = local'.encode())
    assert await settings_in(postgres_url) == NEEDED


async def test_a_commit_that_waits_for_more_stays_so(postgres_url: str) -> None:
    set_defaults(postgres_url, {"synchronous_commit": "remote_apply"})
    assert await settings_in(postgres_url, "synchronous_commit") == {"synchronous_commit": "remote_apply"}


async def test_a_cancel_beside_the_acceptance_of_its_request_is_never_lost(postgres_url: str) -> None:
    """With REPEATABLE READ the two do not see each other: each takes its view before it waits for the other."""
    stores = [SqlRunStore(postgres_url) for _ in range(2)]
    for store in stores:
        await store.open()
    lost = []
    for _ in range(50):
        asked = request()
        name = asked.event.event_id
        [[accepted], outcome] = await asyncio.gather(
            stores[0].accept([asked]), stores[1].cancel([Cancel(name)], keep=WEEK)
        )
        if outcome[name] is Cancelled.NOTED and accepted.decision is not Decision.CANCELLED:
            lost.append(name)
    for store in stores:
        await store.close()
    assert lost == []


async def test_a_read_only_database_is_waited_for(postgres_url: str) -> None:
    """An administrator's switch (a full disk, a move to another server) is not overruled."""
    store = SqlRunStore(postgres_url)
    await store.open()
    await store.close()
    set_defaults(postgres_url, {"default_transaction_read_only": "on"})
    again = SqlRunStore(postgres_url)
    await again.open()
    try:
        with pytest.raises(StoreError, match="read-only") as caught:
            await again.accept([request()])
        assert caught.value.retriable is True
        options = "-c default_transaction_read_only=off"
        with psycopg.connect(postgres_url, autocommit=True, options=options) as raw:
            raw.execute(f'ALTER DATABASE "{raw.info.dbname}" RESET default_transaction_read_only'.encode())
        assert await again.accept([request()])
    finally:
        await again.close()


def test_two_clients_that_share_a_session_are_noticed(postgres_url: str) -> None:
    """As behind a pooler that hands a session on at each transaction's end."""
    with (
        psycopg.connect(postgres_url, autocommit=True) as first,
        psycopg.connect(postgres_url, autocommit=True) as second,
    ):
        first.execute("SELECT pg_advisory_lock(7)")
        require_own_session(second, 7, "here")
        with pytest.raises(StoreError, match=r"behind a pooler .* session pooling") as caught:
            require_own_session(first, 7, "here")
        assert caught.value.retriable is False
        assert one(second, "SELECT pg_try_advisory_lock(7)"), "the lock stays with a session that others get"


async def test_a_session_that_does_not_keep_its_settings_is_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "prepare_session", lambda *_: None)
    with pytest.raises(StoreError, match="default_transaction_isolation is 'repeatable read' and not read commi") as it:
        await SqlRunStore(postgres_url).open()
    assert "timezone is 'America/St_Johns' and not UTC" in str(it.value)
    assert "synchronous_commit is 'off' and not on" in str(it.value)
    assert it.value.retriable is False


async def test_a_database_that_cannot_hold_every_text_is_refused(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database("latin")
    name = make_url(url).database
    try:
        with psycopg.connect(postgres_server.url, autocommit=True) as raw:
            raw.execute(f'DROP DATABASE "{name}"'.encode())
            latin = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
            raw.execute(f'CREATE DATABASE "{name}" {latin}'.encode())
        with pytest.raises(StoreError, match=r"has the encoding LATIN1.* ENCODING 'UTF8'") as caught:
            await SqlRunStore(url).open()
        assert caught.value.retriable is False
    finally:
        postgres_server.drop_database(url)
