"""The first line of a worker's log: at once, before anything that takes a while to import."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence

from langgraph_worker import __version__

_SHOWING_INFO = ("", "DEBUG", "INFO")


def write_first_line(arguments: Sequence[str]) -> None:
    """Write to stderr which version starts, in the form of the lines that follow, if they are shown.

    :param arguments: the command line. Commands other than ``run`` print something of their own.
    """
    if not arguments or arguments[0] != "run" or {"-h", "--help"} & set(arguments):
        return
    if _setting("log-level", arguments).upper() not in _SHOWING_INFO:
        return
    now = time.time()
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03d}"
    text = f"langgraph-worker {__version__} starts: reading its settings"
    line = f"{stamp}Z INFO    [starting] {text}"
    if _setting("log-format", arguments) == "json":
        fields = {"level": "INFO", "logger": __name__, "action": "starting", "message": text}
        line = json.dumps({"time": f"{stamp}+00:00", **fields})
    print(line, file=sys.stderr, flush=True)


def _setting(name: str, arguments: Sequence[str]) -> str:
    """A setting as the environment and the command line have it, unchecked; empty if neither has it. A flag wins."""
    found = os.environ.get(f"LANGGRAPH_WORKER_{name.upper().replace('-', '_')}", "")
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=True):
        flag, equals, value = argument.partition("=")
        if flag == f"--{name}":
            found = value if equals else after
    return found
