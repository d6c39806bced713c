"""The store's URL with several servers, in the forms of libpq and of SQLAlchemy."""

from __future__ import annotations

import pytest

from langgraph_worker.errors import SettingsError, StoreError
from langgraph_worker.settings.store_url import check_url, shown_url
from langgraph_worker.store.engines.postgres import PostgresDatabase, server_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://me:geheim@h/runs", "h:5432/runs"),
        ("postgresql:///runs", "localhost:5432/runs"),
        ("postgresql://me:geheim@h1:1,h2:2/runs", "h1:1,h2:2/runs"),
        ("postgresql+psycopg://me:geheim@h1,h2:2/runs", "h1:5432,h2:2/runs"),
        ("postgresql://me:geheim@h1:1,h2/runs?application_name=a@b", "h1:1,h2:5432/runs"),
        ("postgresql://h1,h2/runs", "h1:5432,h2:5432/runs"),
        ("postgresql://me:geheim@[::1]:1,[fe80::2]/runs", "::1:1,fe80::2:5432/runs"),
        ("postgresql://me:geheim@/runs?host=h1:1&host=h2:2", "h1:1,h2:2/runs"),
        ("postgresql://me:geheim@/runs?host=h1,h2&port=7,8", "h1:7,h2:8/runs"),
    ],
)
def test_messages_name_every_server(url: str, place: str) -> None:
    check_url(url)
    assert PostgresDatabase(url, lease_seconds=30).place == place


def test_of_several_servers_the_one_that_takes_writes_is_used() -> None:
    assert server_url("postgresql://me@h1:1,h2:2/runs").query == {
        "host": "h1,h2",
        "port": "1,2",
        "target_session_attrs": "read-write",
    }
    assert "target_session_attrs" not in server_url("postgresql://me@h1/runs").query


def test_the_operators_own_choice_stays() -> None:
    assert server_url("postgresql://me@h1,h2/runs?target_session_attrs=any").query["target_session_attrs"] == "any"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:geheim@h1:1,h2:2/runs", "postgresql://h1:1,h2:2/runs"),
        ("postgresql://h/runs?password=geheim", "postgresql://h:5432/runs"),
        ("postgresql://h1,h2/runs?user=me&password=geheim&sslpassword=geheim", "postgresql://h1:5432,h2:5432/runs"),
        ("postgresql+psycopg:///runs?host=h&passfile=/geheim&options=-c%20x.y%3Dgeheim", "postgresql://h:5432/runs"),
        ("postgresql://geheim@h/runs?sslmode=require;password=geheim", "postgresql://h:5432/runs"),
        ("sqlite:////var/runs.db", "sqlite:////var/runs.db"),
    ],
)
def test_only_the_place_is_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_a_password_with_a_comma_is_no_list_of_servers() -> None:
    for password in ("1,b", "a,b", "a,b,c:1,2"):
        url = f"postgresql://me:{password}@h/runs"
        assert (server_url(url).password, server_url(url).host) == (password, "h")
        assert PostgresDatabase(url, lease_seconds=30).place == "h:5432/runs"
    assert server_url("postgresql://me:a,b@h1,h2/runs").password == "a,b"


@pytest.mark.parametrize("user", ["me:ge@heim", "me:ge@heim,geheim", "me/x:geheim", "me/geheim"])
def test_what_would_be_shown_as_a_place_is_refused(user: str) -> None:
    with pytest.raises(SettingsError, match="@ must be written %40") as caught:
        check_url(f"postgresql://{user}@h/runs")
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("sslmode=require;password=geheim", 'invalid sslmode value: "\\*\\*\\*"'),
        ("keepalives=geheim", 'invalid integer value "\\*\\*\\*"'),
        ("service=geheim", 'definition of service "\\*\\*\\*" not found'),
    ],
)
def test_the_drivers_words_about_a_url_come_without_its_values(query: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason) as caught:
        PostgresDatabase(f"postgresql://me:geheim@localhost:1/runs?{query}", lease_seconds=30).open(alone=False)
    assert "geheim" not in str(caught.value)


def test_a_password_reaches_the_driver() -> None:
    assert server_url("postgresql://me:geheim@h1:1,h2:2/runs").password == "geheim"


@pytest.mark.parametrize("servers", ["h1:1,", "h1:x,h2", "h1:1:2,h2", "h:x", ",h", "/runs?host=h1,h2&port=7#"])
def test_what_names_no_server_is_refused(servers: str) -> None:
    with pytest.raises(SettingsError, match="LANGGRAPH_WORKER_STORE_URL: not a URL") as caught:
        check_url(f"postgresql://me:geheim@{servers}/runs")
    assert "geheim" not in str(caught.value)
