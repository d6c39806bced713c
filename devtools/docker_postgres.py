"""A real PostgreSQL in a container, where there is a Docker engine."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from devtools.docker_kafka import require_image
from devtools.postgres_server import PostgresServer
from devtools.processes import free_port

if TYPE_CHECKING:
    from testcontainers.community.postgres import PostgresContainer

IMAGE = "postgres:17"


class DockerPostgres(PostgresServer):
    """The image ``postgres`` on a port of this machine.

    :raises MissingToolError: there is no Docker engine, or the image cannot be pulled.
    """

    kind = "docker"
    origin = f"{IMAGE} in Docker"

    def __init__(self) -> None:
        require_image(IMAGE)
        self._password = secrets.token_hex(16)
        self._port = free_port()
        super().__init__(f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/postgres")
        self._container: PostgresContainer | None = None

    def open(self) -> None:
        self._container = _container(self._port, self._password)
        self._container.start()
        self.wait_ready()

    def close(self) -> None:
        if self._container is not None:
            self._container.stop(force=True, delete_volume=True)
            self._container = None


def _container(port: int, password: str) -> PostgresContainer:
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(IMAGE, username="postgres", password=password, dbname="postgres", driver=None)
    container.with_bind_ports(5432, port)
    container.with_command("postgres -c shared_buffers=64MB -c max_connections=200")
    return container
