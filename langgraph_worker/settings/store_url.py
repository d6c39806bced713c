"""Check the store's URL: the database that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph_worker.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import URL

# SQLAlchemy is imported only where a URL is read: every command has this module in its parser, --help too.

SETTING = "LANGGRAPH_WORKER_STORE_URL"

_FILES = "sqlite:///relative.db or sqlite:////absolute/path.db"
_SERVERS = "postgresql://user:password@host:5432/database"
_FORMS = f"{_SERVERS} (several: host:5432,other:5432), or for a single worker {_FILES}"

_PORT = "5432"
# What libpq understands and SQLAlchemy does not: several servers, of which the first one that fits is used.
_SEVERAL = re.compile(r"(postgresql(?:\+psycopg)?://)([^/?#]*@)?([^/?#@]*,[^/?#@]*)((?:[/?#].*)?)", re.DOTALL)
_PLACE = re.compile(r"(\[[^\]]+\]|[^:\[\]]+)(?::([0-9]+))?")


def parse_url(url: str) -> URL:
    """The URL in SQLAlchemy's form: where it names several servers, as libpq does, they are in its query.

    :raises ArgumentError: it is not a URL.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    several = _SEVERAL.fullmatch(url)
    try:
        if several is None:
            return make_url(url)
        scheme, user, servers, rest = several.groups(default="")
        parsed = make_url(f"{scheme}{user}{rest}")
    except ValueError as error:  # a port that is not a number
        raise ArgumentError(str(error)) from None
    places = [_PLACE.fullmatch(server) for server in servers.split(",")]
    named = [place.groups(default=_PORT) for place in places if place is not None]
    if len(named) < len(places):
        raise ArgumentError(f"{servers!r} is not a list of servers")
    query = {
        "host": ",".join(host.strip("[]") for host, _ in named),
        "port": ",".join(port for _, port in named),
    }
    return parsed.update_query_dict(query)


def servers_of(url: URL) -> list[str]:
    """``host:port`` of each server that a URL of PostgreSQL names.

    :raises ArgumentError: its query has more ports than hosts, or fewer.
    """
    _, named = url.set(drivername="postgresql+psycopg").get_dialect()().create_connect_args(url)
    hosts = str(named.get("host") or "localhost").split(",")
    ports = str(named.get("port") or _PORT).split(",")
    return [f"{host}:{port}" for host, port in zip(hosts, ports * (len(hosts) // len(ports)), strict=True)]


def shown_url(url: str) -> str:
    """A store's URL for people: the place alone, because user, password and query may all hold a secret."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return f"sqlite:///{parsed.database}"
    return f"postgresql://{place_of(parsed)}"


def missing_file(url: str) -> Path | None:
    """The file that an SQLite store's URL names, if it does not exist yet."""
    parsed = parse_url(url)
    file = Path(parsed.database or "").absolute()
    return file if parsed.get_backend_name() == "sqlite" and not file.exists() else None


def place_of(url: URL) -> str:
    """Where a database of PostgreSQL is: its servers, and its name there."""
    return f"{','.join(servers_of(url))}/{url.database}"


def without_values(text: str, url: URL) -> str:
    """A driver's text about a URL, which quotes values of the URL, without them: each may be, or contain, a secret."""
    values = [value for values in url.normalized_query.values() for value in values]
    for value in [url.password, *values]:
        text = text.replace(f'"{value}"', '"***"') if value else text
    return text


def check_url(url: str) -> URL:
    """The parsed URL, if it can name a store.

    :raises SettingsError: what is wrong with the URL. The text does not repeat the URL, which may hold a password.
    """
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = parse_url(url)
        is_postgresql = parsed.drivername in ("postgresql", "postgresql+psycopg") and bool(servers_of(parsed))
    except ArgumentError:
        raise SettingsError(f"{SETTING}: not a URL; use {_FORMS}") from None
    if is_postgresql:
        if "@" in place_of(parsed):  # the rest of the password would be shown as a host or as the database
            raise SettingsError(f"{SETTING}: in a user's name or password, @ must be written %40, and / must be %2F")
        if not parsed.database:
            raise SettingsError(f"{SETTING}: must name a database: {_SERVERS}")
        return parsed
    if parsed.drivername != "sqlite":
        raise SettingsError(f"{SETTING}: {parsed.drivername!r} is not supported; use {_FORMS}")
    if parsed.host or parsed.query or parsed.database in (None, "", ":memory:"):
        raise SettingsError(f"{SETTING}: must name a file and nothing else: {_FILES}")
    return parsed
