"""``python -m tests.reference.zygote``: forks a worker for each job that it is named, and says how it ended."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from tests.reference.job import MOST_SECONDS
from tests.support.zygote import ZygoteProcess, fork


class Zygote(ZygoteProcess):
    """The process, as its user sees it."""

    module = __name__


def _main() -> None:
    from tests.reference.life import live  # so that no fork imports it

    gc.freeze()
    for line in map(str.strip, sys.stdin):
        _, status = os.waitpid(fork(Path(line), live, MOST_SECONDS), 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
