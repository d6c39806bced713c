"""What a command prints, apart from what the graphs' own code prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def graphs_print_to_stderr() -> Iterator[None]:
    """Inside, ``print`` writes to standard error: standard output is for the command's own result, which other programs
    read. What a C library or another process writes to standard output is not caught.
    """
    with redirect_stdout(sys.stderr):
        yield
