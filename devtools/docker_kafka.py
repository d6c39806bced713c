"""A real Apache Kafka in a container, where there is a Docker engine."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from devtools.broker import Broker, require_ready
from devtools.errors import MissingToolError
from devtools.processes import free_port

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

IMAGE = "apache/kafka:4.3.1"

_ENVIRONMENT = {
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_NODE_ID": "1",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
}


class DockerKafka(Broker):
    """The image ``apache/kafka`` on a port of this machine. It keeps its data and its port over a stop or a kill.

    :raises MissingToolError: there is no Docker engine, or the image cannot be pulled.
    """

    kind = "docker"

    def __init__(self) -> None:
        require_image(IMAGE)
        self._port = free_port()
        super().__init__(f"127.0.0.1:{self._port}")
        self._container: DockerContainer | None = None

    @property
    def description(self) -> str:
        return f"Apache Kafka ({IMAGE} in Docker) on {self.bootstrap_servers}"

    def start(self) -> None:
        if self._container is None:
            self._container = _container(self._port)
            self._container.start()
        else:
            self._container.get_wrapped_container().start()
        require_ready(self)

    def stop(self) -> None:
        if self._container is not None:
            self._container.get_wrapped_container().stop(timeout=10)

    def kill(self) -> None:
        if self._container is not None:
            self._container.get_wrapped_container().kill()

    def close(self) -> None:
        if self._container is not None:
            self._container.stop(force=True, delete_volume=True)
            self._container = None


def _container(port: int) -> DockerContainer:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(IMAGE).with_bind_ports(9092, port)
    container.with_envs(**_ENVIRONMENT, KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://127.0.0.1:{port}")
    return container


def require_image(image: str) -> None:
    """Pull an image, unless it is there.

    :raises MissingToolError: there is no Docker engine, or the image cannot be pulled.
    """
    if not _engine_listens():
        raise MissingToolError("no Docker engine answers")
    try:
        import docker  # type: ignore[import-untyped]
        from docker.errors import DockerException, ImageNotFound  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingToolError("the Python package docker is not installed") from error
    try:
        with contextlib.closing(docker.from_env()) as engine:
            try:
                engine.images.get(image)
            except ImageNotFound:
                engine.images.pull(image)
    except (DockerException, OSError) as error:
        raise MissingToolError(f"Docker cannot get the image {image}: {str(error)[:200]}") from error


def _engine_listens() -> bool:
    """Whether an engine listens. Without one the client would leak its socket."""
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(host.removeprefix("unix://")) == 0
