"""A PostgreSQL server, as tests and benchmarks use it: what all kinds of servers have in common."""

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

    Ready means that it answered a query. Only a server of the system's binaries can be stopped, killed and started
    again.

    :param url: the URL of the maintenance database, for a role that may create databases.
    """

    kind: ClassVar[Kind]
    origin: ClassVar[str]
    """The origin of the server, for people."""

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

        :raises DevtoolsError: it cannot be started, has died, is not ready in time, or refuses the connection.
        """

    def start(self) -> None:
        """Start it again after a stop or a kill, on the same port and with the same data, and wait until it is ready.

        It does nothing while the server runs.

        :raises DevtoolsError: as :meth:`open`; or the server is not one of the system's binaries.
        """
        raise self._cannot("start")

    def stop(self) -> None:
        """Stop it in an orderly way ("fast": sessions are ended, their transactions rolled back). Its data is kept.

        :raises DevtoolsError: the server is not one of the system's binaries.
        """
        raise self._cannot("stop")

    def kill(self) -> None:
        """SIGKILL all of its processes, as a crash does. Its data is kept as it is.

        :raises DevtoolsError: the server is not one of the system's binaries.
        """
        raise self._cannot("kill")

    @abstractmethod
    def close(self) -> None:
        """End it for good and remove its data, if it was started here. Idempotent."""

    def create_database(self, prefix: str = "test") -> str:
        """Create a database with a name of its own, and return its URL: ``postgresql://…/{prefix}_{random}``."""
        name = f"{prefix}_{uuid.uuid4().hex[:12]}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return urlsplit(self.url)._replace(path=f"/{quote(name)}").geturl()

    def drop_database(self, url: str) -> None:
        """Drop a database of :meth:`create_database`, and end its sessions. Idempotent."""
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

        :param show: the children whose last lines the error shows.
        """
        self.version = wait_until("PostgreSQL to answer", self._ask_version, timeout=READY_SECONDS, show=show)

    def require_answer(self) -> None:
        """Connect once, and query.

        :raises DevtoolsError: the text says what was refused.
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

    def _cannot(self, verb: str) -> DevtoolsError:
        return DevtoolsError(f"cannot {verb} {self.description}: only a server of the system's binaries can be")


class ExternalPostgres(PostgresServer):
    """A server that runs already. It is used, never stopped; its other databases are left alone."""

    kind = "external"
    origin = "DEVTOOLS_POSTGRES_URL"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ExternalPostgres | None:
        """The server of DEVTOOLS_POSTGRES_URL; None if it is not set.

        :raises DevtoolsError: it is not the URL of a PostgreSQL database.
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
        """Do nothing: the server was not started here."""


def _has_the_form(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "postgresql" and bool(parts.hostname) and parts.port != 0 and len(parts.path) > 1
    except ValueError:  # the port is not a number
        return False
