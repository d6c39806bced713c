"""A ``langgraph-worker run`` as a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devtools.broker import Broker
from devtools.processes import Child, wait_until

READY_SECONDS = 60.0
READY = "worker ready"


class Worker:
    """One worker, as a context manager: entering starts it and waits until it consumes.

    It creates the topics that are missing. A second one in the same folder shares the first one's store.

    :param langgraph_json: the manifest of its graphs.
    :param fleet: the name of its fleet.
    :param directory: its working directory, with its log and its store.
    :param env: further environment variables; they override all others.
    :param starts: what starts its process, as :class:`subprocess.Popen` does.
    :ivar log: the file of its log.
    """

    def __init__(
        self,
        broker: Broker,
        langgraph_json: Path,
        directory: Path,
        *,
        fleet: str = "",
        env: Mapping[str, str] | None = None,
        python: Path | None = None,
        starts: Callable[..., Any] = subprocess.Popen,
    ) -> None:
        self._directory = directory
        self.log = directory / "worker.log"
        self._python = python or Path(sys.executable)
        self._starts = starts
        self.environment = {
            **_callers_environment(),
            **_settings(broker, langgraph_json, fleet),
            **(env or {}),
        }
        self.child: Child | None = None

    def launch(self) -> Child:
        """Start the process, also again after a stop or a kill. Returns at once."""
        command = [str(self._python), "-m", "langgraph_worker", "run"]
        self.child = Child(
            "worker", command, log=self.log, env=self.environment, cwd=self._directory, starts=self._starts
        )
        return self.child

    def wait_ready(self) -> None:
        """Wait until the worker consumes.

        :raises ChildDiedError: it ended; the text has the last lines of its log.
        :raises NotReadyError: it is not ready after a minute.
        """
        child = self.child or self.launch()
        wait_until("the worker to be ready", lambda: READY in child.output(), timeout=READY_SECONDS, show=[child])

    def stop(self) -> None:
        """Stop it in an orderly way: TERM, up to 10 s, KILL."""
        if self.child is not None:
            self.child.stop()

    def __enter__(self) -> Self:
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _callers_environment() -> dict[str, str]:
    """The caller's environment, OLLAMA_* included, without the settings of another worker."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "LANGGRAPH_WORKER_"))}


def _settings(broker: Broker, langgraph_json: Path, fleet: str) -> dict[str, str]:
    further = {name: value for name, value in broker.client.items() if name != "bootstrap.servers"}
    return {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "KAFKA_CONFIG": json.dumps({**further, **broker.consumer}),
        "LANGGRAPH_WORKER_FLEET": fleet,
        "LANGGRAPH_WORKER_LANGGRAPH_JSON": str(langgraph_json.resolve()),
        "LANGGRAPH_WORKER_CREATE_TOPICS": "true",
        "LANGGRAPH_WORKER_DRAIN_SECONDS": "5",  # below the 10 s after which a child is killed
    }
