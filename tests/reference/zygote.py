"""``python -m tests.reference.zygote``: forks a worker for each job that it is named, and says how it ended.

It imports everything once. A line of its input is a pickled job's file, a line of its output the exit status of that
job's process, negative for the signal that ended it.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType

from tests.reference.job import MOST_SECONDS, Job

_ROOT = Path(__file__).resolve().parent.parent.parent


class Zygote:
    """The process, as its user sees it."""

    def __enter__(self) -> Zygote:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        file = job.folder / f"life-{job.life}.job"
        file.write_bytes(pickle.dumps(job))
        self._process.stdin.write(f"{file}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _live(file: Path) -> int:
    """The forked process's part; its exit code."""
    from tests.reference.life import live

    job: Job = pickle.loads(file.read_bytes())
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    faulthandler.dump_traceback_later(MOST_SECONDS, exit=True, file=log)
    try:
        live(job)
    except BaseException:  # noqa: BLE001 - the log has it, and the exit code
        os.write(2, traceback.format_exc().encode())
        return 1
    return 0


def _main() -> None:
    import tests.reference.life  # noqa: F401 - so that no fork imports it

    gc.freeze()
    for line in map(str.strip, sys.stdin):
        assert threading.active_count() == 1
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os._exit(_live(Path(line)))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
