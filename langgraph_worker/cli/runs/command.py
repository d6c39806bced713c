"""``langgraph-worker runs``: find the command below it. Only its own module is imported."""

from __future__ import annotations

import argparse
from collections.abc import Mapping


def runs(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Run one of the commands of ``runs``; its exit code.

    :raises WorkerError: a wrong setting or option, or the store or the broker cannot be used.
    """
    match arguments.runs_command:
        case "list":
            from langgraph_worker.cli.runs.list_runs import list_runs

            return list_runs(flags, arguments)
        case "cancel":
            from langgraph_worker.cli.runs.cancel_runs import cancel_runs

            return cancel_runs(flags, arguments)
        case "resume":
            from langgraph_worker.cli.runs.resume_run import resume_run

            return resume_run(flags, arguments)
        case "checkpoints":
            from langgraph_worker.cli.runs.list_checkpoints import list_checkpoints

            return list_checkpoints(flags, arguments)
        case "fork":
            from langgraph_worker.cli.runs.fork_run import fork_run

            return fork_run(flags, arguments)
        case _:
            from langgraph_worker.cli.runs.show_run import show_run

            return show_run(flags, arguments)
