"""The commands of ``runs`` and their options. Quick to import: every command's parser needs it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

_COMMANDS = {
    "list": "runs, the newest first",
    "show": "one run: what was asked and answered, its steps, errors, attempts and questions",
    "resume": "ask the workers to go on with a run that has failed, or answer what it asks",
    "checkpoints": "the checkpoints of one run: where a fork can begin",
    "fork": "ask the workers for a new run that begins with a checkpoint of this one",
    "cancel": "ask the workers to end requests: those that are named, or all that fit the filters",
}

DEFAULT_LIMIT = 20
_SINCE_HELP = "from this time on: 2026-11-30, 2026-11-30T08:15 (UTC unless it names a zone), or 90m, 12h, 7d ago"


def add_runs_commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The commands below ``runs``, to be given the settings."""
    commands = parser.add_subparsers(dest="runs_command", required=True, metavar="COMMAND")
    added = []
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        _OPTIONS[name](command)
        added.append(command)
    return added


def _list_options(parser: argparse.ArgumentParser) -> None:
    _add_filters(parser)
    _add_json(parser, "one JSON object on each line")
    parser.add_argument(
        "--limit", metavar="N", default=str(DEFAULT_LIMIT), dest="most", help=f"how many; unset: {DEFAULT_LIMIT}"
    )
    parser.add_argument("--page", metavar="KEY", help="the next page, as the page before names it")


def _show_options(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    _add_json(parser, "all of it as one JSON object")
    parser.add_argument(
        "--full", action="store_true", help="whole values and tracebacks, and what steps got and returned"
    )


def _cancel_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="*", help="correlation ids, or how they begin; without one, give a filter")
    _add_filters(parser)
    _add_json(parser, "one JSON object for each request")
    parser.add_argument("--reason", metavar="TEXT", help="for the person who reads the result")
    parser.add_argument("--by", metavar="NAME", help="who cancels; unset: the user that runs the command")
    parser.add_argument("--dry-run", action="store_true", help="show what would be cancelled, and send nothing")
    parser.add_argument("--yes", action="store_true", help="cancel what fits the filters; without it, it is shown only")


def _resume_options(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    _add_json(parser, "the new request's handle, for a LangGraphResultSensor")
    parser.add_argument(
        "--answer",
        metavar="[ID=]JSON",
        action="append",
        help="answer the run's question; of several, one for each, with the id that `runs show` names",
    )
    parser.add_argument("--by", metavar="NAME", help="who answers; unset: the user that runs the command")
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")


def _checkpoints_options(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    _add_json(parser, "one JSON object on each line")


def _fork_options(parser: argparse.ArgumentParser) -> None:
    _add_id(parser)
    _add_json(parser, "the new request's handle, for a LangGraphResultSensor")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--checkpoint", metavar="ID", help="where it begins: one that `runs checkpoints` lists")
    where.add_argument("--before", metavar="NODE", help="where it begins: before this node ran last")
    parser.add_argument("--values", metavar="JSON", help="an object: change the state there by these values")
    parser.add_argument(
        "--as-node", metavar="NODE", help="with --values: change it in the name of this node; those behind it run next"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="the run's correlation id, or how it begins")


def _add_json(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help=text)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    filters = parser.add_argument_group("which runs", "a run is meant if it fits all that is given")
    filters.add_argument(
        "--status", metavar="WORD", action="append", help="such as running or failure; give it again for any of several"
    )
    filters.add_argument("--graph", metavar="NAME", help="a name in langgraph.json")
    filters.add_argument("--dag", metavar="ID", help="the DAG, which is the event's workflow_id")
    filters.add_argument("--run", metavar="ID", help="the DAG run, which is the event's workflow_run_id")
    filters.add_argument("--thread", metavar="NAME", help="the conversation's name, or LangGraph's thread_id")
    filters.add_argument("--error", metavar="TYPE", help="the result's error_type, such as RateLimitError or timeout")
    filters.add_argument("--since", metavar="TIME", help=f"accepted {_SINCE_HELP}")
    filters.add_argument("--before", metavar="TIME", help="accepted before this time, in the same forms")


_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "list": _list_options,
    "show": _show_options,
    "checkpoints": _checkpoints_options,
    "fork": _fork_options,
    "cancel": _cancel_options,
    "resume": _resume_options,
}
