"""``langgraph-worker``: one module for each command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from langgraph_worker.cli.first_line import write_first_line

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: see :func:`langgraph_worker.cli.command_line.main`. What it imports takes a while."""
    write_first_line(sys.argv[1:] if argv is None else argv)
    from langgraph_worker.cli.command_line import main as run_command

    return run_command(argv)
