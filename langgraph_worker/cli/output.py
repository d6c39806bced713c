"""What a command prints, apart from what the graphs' own code prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from workflow_events.plain_text import one_line


@contextmanager
def graphs_print_to_stderr() -> Iterator[None]:
    """Inside, ``print`` writes to standard error: standard output is for the command's own result, which other programs
    read. What a C library or another process writes to standard output is not caught.
    """
    with redirect_stdout(sys.stderr):
        yield


def print_note(sentence: str) -> None:
    """Print what a project lacks here, or what of it is not served, to standard error."""
    print(one_line(f"langgraph-worker: {sentence}"), file=sys.stderr)
