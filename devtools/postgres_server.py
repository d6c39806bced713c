"""What the demo, the tests and the benchmarks know of a PostgreSQL server, whichever it is."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import ClassVar, Literal, Self
from urllib.parse import quote, unquote, urlsplit

import psycopg
from psycopg import sql

from devtools.errors import DevtoolsError
from devtools.processes import Child, wait_until

READY_SECONDS = 60.0
URL_FORM = "postgresql://user:password@host:5432/postgres"
_CONNECT_SECONDS = 10

Kind = Literal["external", "system", "docker"]


class PostgresServer(ABC):
    """A PostgreSQL server, as a context manager: entering makes it ready, leaving removes what was made.

    "Ready" is a query answered. Only the system's can be stopped, killed and started again.

    :param url: of the maintenance database, for a role that may create databases.
    """

    kind: ClassVar[Kind]
    origin: ClassVar[str]
    """Where it comes from, for people."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.version = ""
        """``15.18``, known once it is ready."""

    @property
    def description(self) -> str:
        """One line for people, without the password: which server, where."""
        place = urlsplit(self.url)
        product = f"PostgreSQL {self.version}".rstrip()
        return f"{product} ({self.origin}) on {place.hostname}:{place.port or 5432}"

    @abstractmethod
    def open(self) -> None:
        """Make it ready, once.

        :raises DevtoolsError: when it cannot be started, died, is not ready in time, or refuses the connection.
        """

    def start(self) -> None:
        """Start it again after a stop or a kill, on the same port and with the same data, and wait until it is ready.

        Nothing is done while it runs.

        :raises DevtoolsError: as :meth:`open` does; always, when it is not the system's.
        """
        raise self._not_ours("start")

    def stop(self) -> None:
        """Stop it in an orderly way ("fast": sessions are ended, their transactions rolled back). Its data are kept.

        :raises DevtoolsError: when it is not the system's.
        """
        raise self._not_ours("stop")

    def kill(self) -> None:
        """SIGKILL all of its processes, as a crash does. Its data are kept as they are.

        :raises DevtoolsError: when it is not the system's.
        """
        raise self._not_ours("kill")

    @abstractmethod
    def close(self) -> None:
        """End it for good and remove its data, if it is ours. Repeating is harmless."""

    def create_database(self, prefix: str = "test") -> str:
        """Create a database with a name of its own, and return its URL: ``postgresql://…/{prefix}_{random}``."""
        name = f"{prefix}_{uuid.uuid4().hex[:12]}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return urlsplit(self.url)._replace(path=f"/{quote(name)}").geturl()

    def drop_database(self, url: str) -> None:
        """Drop a database of :meth:`create_database`, ending its sessions. Repeating is harmless."""
        name = unquote(urlsplit(url).path.removeprefix("/"))
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def wait_ready(self, show: Iterable[Child] = ()) -> None:
        """Connect until a query is answered, for up to a minute.

        :param show: whose last lines belong into the error.
        """
        self.version = wait_until("PostgreSQL to answer", self._ask_version, timeout=READY_SECONDS, show=show)

    def require_answer(self) -> None:
        """Connect once, and ask.

        :raises DevtoolsError: saying what was refused.
        """
        try:
            self.version = self._read_version()
        except psycopg.Error as error:
            raise DevtoolsError(f"{self.description} is not usable: {error}") from error

    def _ask_version(self) -> str | None:
        try:
            return self._read_version()
        except psycopg.OperationalError:
            return None

    def _read_version(self) -> str:
        with self._connect() as connection:
            [(version,)] = connection.execute("SHOW server_version").fetchall()
        return str(version).split()[0]  # Debian adds words of its own

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True, connect_timeout=_CONNECT_SECONDS)

    def _not_ours(self, verb: str) -> DevtoolsError:
        return DevtoolsError(f"cannot {verb} {self.description}: only a server of the system's binaries can be")


class ExternalPostgres(PostgresServer):
    """A server that runs already. It is used, never stopped; its other databases are left alone."""

    kind = "external"
    origin = "DEVTOOLS_POSTGRES_URL"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ExternalPostgres | None:
        """The server of DEVTOOLS_POSTGRES_URL; None when there is none.

        :raises DevtoolsError: when that is no URL of a PostgreSQL database.
        """
        url = environment.get("DEVTOOLS_POSTGRES_URL")
        if not url:
            return None
        if not _has_the_form(url):
            raise DevtoolsError(f"DEVTOOLS_POSTGRES_URL must have the form {URL_FORM}")
        return cls(url)

    def open(self) -> None:
        self.require_answer()

    def close(self) -> None:
        """Do nothing: it is not ours."""


def _has_the_form(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "postgresql" and bool(parts.hostname) and parts.port != 0 and len(parts.path) > 1
    except ValueError:  # the port is no number
        return False
