"""A process that imports everything once and forks a worker for each job: what its user and its children share.

A line of its input is a pickled job's file, or a word that its own module knows; a line of its output the exit status
of that job's process, negative for the signal that ended it.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

_ROOT = Path(__file__).resolve().parent.parent.parent


class Job(Protocol):
    """One life of a worker. Can be pickled."""

    @property
    def folder(self) -> Path: ...

    @property
    def life(self) -> int: ...

    @property
    def log(self) -> Path: ...


class ZygoteProcess:
    """The process, as its user sees it.

    :cvar module: what it runs.
    :ivar variables: further ones of its environment.
    """

    module: ClassVar[str]
    variables: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **self.variables},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def live(self, job: Job) -> int:
        """Run a life; its exit status."""
        file = job.folder / f"life-{job.life}.job"
        file.write_bytes(pickle.dumps(job))
        return self.ask(str(file))

    def ask(self, line: str) -> int:
        """Write a line, and read the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def fork(file: Path, live: Callable[[Any], None], seconds: float) -> int:
    """Fork a worker for a job's file; its pid.

    :param live: the worker's part.
    :param seconds: after these it ends itself, with its stacks in the job's log.
    """
    assert threading.active_count() == 1
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os._exit(_logged(file, live, seconds))
    return child


def _logged(file: Path, live: Callable[[Any], None], seconds: float) -> int:
    job: Job = pickle.loads(file.read_bytes())
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    faulthandler.dump_traceback_later(seconds, exit=True, file=log)
    try:
        live(job)
    except BaseException:  # noqa: BLE001 - the log has it, and the exit code
        os.write(2, traceback.format_exc().encode())
        return 1
    return 0
