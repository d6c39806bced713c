"""Choose a PostgreSQL: the first of three kinds that this machine can run; and one with pgvector."""

from __future__ import annotations

import os
from collections.abc import Callable

from devtools.docker_postgres import DockerPostgres
from devtools.errors import MissingToolError
from devtools.postgres_server import URL_FORM, ExternalPostgres, PostgresServer
from devtools.system_postgres import SystemPostgres
from devtools.vector_postgres import VectorPostgres

__all__ = ["PostgresServer", "VectorPostgres", "choose_postgres", "postgres_required"]

_STARTED_HERE: dict[str, Callable[[], PostgresServer]] = {"the system": SystemPostgres, "Docker": DockerPostgres}


def choose_postgres() -> PostgresServer:
    """The server of DEVTOOLS_POSTGRES_URL; else one of the system's binaries; else one in Docker.

    The server is not ready yet: enter it to start it.

    :raises MissingToolError: there is none; the text names what was tried, and the remedy.
    """
    if external := ExternalPostgres.from_environment(os.environ):
        return external
    reasons = []
    for name, make in _STARTED_HERE.items():
        try:
            return make()
        except MissingToolError as error:
            reasons.append(f"{name}: {error}")
    raise MissingToolError(
        "a PostgreSQL is needed, and there is none. "
        + "; ".join(reasons)
        + f". Install it (Debian: apt-get install postgresql), or name a server: DEVTOOLS_POSTGRES_URL={URL_FORM}"
    )


def postgres_required() -> bool:
    """Whether CI says that tests which need a PostgreSQL may not be skipped."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
