"""Processes of ``python -m langgraph_worker`` that have their imports already: forks of one that has made them.

A worker's imports take three seconds of a core, for which hundreds of tests would wait. A fork differs from a start in
nothing else: it has its own session, working directory, environment and log, and ends as the interpreter does.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from devtools.reaper import ANCESTRY
from tests.support.zygote import ZygoteProcess

_IMPORTED = (
    "genai_prices",
    "langgraph_worker.checkpoints.memory_sqlite",
    "langgraph_worker.cli.command_line",
    "langgraph_worker.cli.run",
    "langgraph_worker.graphs.project",
    "langgraph_worker.runtime.process",
)


class ForkedProcess:
    """As much of :class:`subprocess.Popen` as a :class:`~devtools.processes.Child` needs."""

    def __init__(self, parent: Preloaded, pid: int) -> None:
        self.pid = pid
        self._parent = parent
        self._ended = os.pidfd_open(pid)  # readable then
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status, negative for the signal that ended it; None while it runs."""
        if self._status is None and select.select([self._ended], [], [], 0)[0]:
            self._status = self._parent.ask(json.dumps({"wait": self.pid}))
            os.close(self._ended)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        :raises subprocess.TimeoutExpired: it still runs.
        """
        if self._status is None and not select.select([self._ended], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it, if it still runs."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._ended, number)


class Preloaded(ZygoteProcess):
    """The process that has imported everything, and ends with this one.

    :param ancestry: of this process; by it the reaper finds its forks, whose environment the kernel does not show.
    """

    module = __name__

    def __init__(self, ancestry: str) -> None:
        self.variables = {ANCESTRY: ancestry}
        self._lock = threading.Lock()

    def ask(self, line: str) -> int:
        """Write a line, and read the answer; from any thread."""
        with self._lock:
            return super().ask(line)


@cache
def _preloaded(ancestry: str) -> Preloaded:
    parent = Preloaded(ancestry).__enter__()
    atexit.register(parent.__exit__, None, None, None)
    return parent


def start_preloaded(
    command: Sequence[str], *, stdout: Any, env: Mapping[str, str], cwd: Path, **_: Any
) -> ForkedProcess:
    """Start ``python -m langgraph_worker ...``, as :class:`subprocess.Popen` does for a child.

    :param stdout: its log, a file with a name.
    """
    assert command[1:3] == ["-m", "langgraph_worker"]
    parent = _preloaded(env[ANCESTRY].rpartition(":")[0])  # the last one is that of the fork
    asked = {"arguments": command[3:], "log": stdout.name, "env": dict(env), "cwd": str(cwd)}
    return ForkedProcess(parent, parent.ask(json.dumps(asked)))


def _main() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a fork prints before it has its log is no answer
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        elif (answer := os.fork()) == 0:
            answers.close()
            _become(**request)
            return
        answers.write(f"{answer}\n")
        answers.flush()


def _become(arguments: list[str], log: str, env: dict[str, str], cwd: str) -> None:
    """Be the worker; the interpreter ends as after any program."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.closerange(3, 64)
    sys.argv = ["langgraph_worker", *arguments]
    sys.path[0] = cwd  # as -m has it
    runpy.run_module("langgraph_worker", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
