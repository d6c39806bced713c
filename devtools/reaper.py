"""End the processes that a parent left behind: ``python -P reaper.py ID``, started by :mod:`devtools.processes` only.

It waits until its standard input closes: the kernel closes it when the parent ends, also after SIGKILL. Then it ends
every process that has ID in its ancestry, and each process whose id was a line of that input: root in a container may
signal a process of another account, but not read its environment. A parent-death signal (``PR_SET_PDEATHSIG``) would do
less: it reaches the direct child only, not Airflow's task processes, and is sent when the starting THREAD ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterable

ANCESTRY = "DEVTOOLS_ANCESTRY"
"""The environment variable with the ids of all parents of a process, the outermost first, separated by ``:``."""

_TERM_SECONDS = 10.0


def descendants(ancestor: str) -> list[int]:
    """The ids of all living processes that were started under ``ancestor``, in any session or process group."""
    # Imported here: it takes 30 ms, and most reapers have nothing to do.
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and ancestor in process.environ().get(ANCESTRY, "").split(":"):
                found.append(process.pid)
        except psutil.Error:
            continue  # it has ended, or belongs to another user
    return found


def signal_each(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each process that still lives."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_descendants(ancestor: str) -> None:
    """SIGKILL all that was started under ``ancestor``, until nothing is left."""
    while left := descendants(ancestor):
        signal_each(left, signal.SIGKILL)
        time.sleep(0.02)  # the kernel needs a moment, and they may have forked meanwhile


def open_each(lines: Iterable[bytes]) -> list[int]:
    """A file descriptor for each named process that lives. Unlike an id, it never refers to a later process."""
    opened = []
    for line in lines:
        with contextlib.suppress(OSError):  # it has ended, or the kernel is older than 5.3
            opened.append(os.pidfd_open(int(line)))
    return opened


def signal_named(named: list[int], number: signal.Signals) -> None:
    """Send a signal to each process of :func:`open_each` that was not waited for yet."""
    for descriptor in named:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)


def any_lives(named: list[int]) -> bool:
    """Whether a process of :func:`open_each` has not ended yet."""
    return len(select.select(named, [], [], 0)[0]) < len(named)


def main(ancestor: str) -> None:
    """Wait for the parent's end, then end what is left: TERM, 10 s, KILL."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    named = open_each(sys.stdin.buffer)
    signal_each(descendants(ancestor), signal.SIGTERM)
    signal_named(named, signal.SIGTERM)
    deadline = time.monotonic() + _TERM_SECONDS
    while (any_lives(named) or descendants(ancestor)) and time.monotonic() < deadline:
        time.sleep(0.1)
    signal_named(named, signal.SIGKILL)
    kill_descendants(ancestor)


if __name__ == "__main__":
    main(sys.argv[1])
