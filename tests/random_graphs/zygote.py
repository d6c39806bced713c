"""``python -m tests.random_graphs.zygote``: forks a worker for each job that it is named, and says how it ended.

The status of a process that was stopped is the negative signal, too. The line ``thaw`` lets it go on; then comes its
exit status.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path

from tests.random_graphs.job import MOST_SECONDS, Job
from tests.support.zygote import ZygoteProcess, fork

_THAW = "thaw"
FROZEN = -signal.SIGSTOP
"""The status of a process that stands still."""


class Zygote(ZygoteProcess):
    """The process, as its user sees it. A life may end with :data:`FROZEN`, too."""

    module = __name__

    def thaw(self) -> int:
        """Let the life that stands still go on; its exit status."""
        return self.ask(_THAW)


def _main() -> None:
    from tests.random_graphs.life import Life  # so that no fork imports it

    def live(job: Job) -> None:
        asyncio.run(Life(job).run())

    gc.freeze()
    frozen: list[int] = []
    for line in map(str.strip, sys.stdin):
        if line == _THAW:
            child = frozen.pop()
            os.kill(child, signal.SIGCONT)
        else:
            child = fork(Path(line), live, MOST_SECONDS)
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            frozen.append(child)
        sys.stdout.write(f"{FROZEN if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    for child in frozen:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    _main()
