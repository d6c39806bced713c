"""The first line of a worker's log: at once, before anything that takes a while to import."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from langgraph_worker import __version__

_LEVEL = "LANGGRAPH_WORKER_LOG_LEVEL"
_FLAG = "--log-level"
_SHOWING_INFO = ("", "DEBUG", "INFO")


def write_first_line(arguments: Sequence[str]) -> None:
    """Write to stderr which version starts, in the form of the lines that follow, if they are shown.

    :param arguments: the command line. Commands other than ``run`` print something of their own.
    """
    if not arguments or arguments[0] != "run" or {"-h", "--help"} & set(arguments) or not _shows_info(arguments):
        return
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    text = f"langgraph-worker {__version__} starts: reading its settings"
    print(f"{stamp}.{int(now * 1000) % 1000:03d}Z INFO    [starting] {text}", file=sys.stderr, flush=True)


def _shows_info(arguments: Sequence[str]) -> bool:
    level = os.environ.get(_LEVEL, "")
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name == _FLAG:
            level = value if equals else after
    return level.upper() in _SHOWING_INFO
