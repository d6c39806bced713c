"""What commands have on their command line beside the settings. Quick to import: every command's parser needs it."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_STORE = Path("langgraph-try.db")
"""Where conversations of ``try`` are kept."""


def add_graphs_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``graphs``."""
    parser.add_argument(
        "--json", action="store_true", dest="as_json", help="all of it as JSON, with whole JSON Schemas"
    )
    parser.add_argument(
        "--mermaid",
        metavar="GRAPH",
        nargs="?",
        const="",
        help="the picture of one graph as Mermaid text, and nothing else; without a name those of all, as Markdown",
    )


def add_pause_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``pause``."""
    _add_scope(parser, "pause")
    parser.add_argument("--now", action="store_true", help="stop what runs at once, and not before its next superstep")


def add_unpause_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``unpause``."""
    _add_scope(parser, "unpause")


def add_pauses_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``pauses``."""
    parser.add_argument("--json", action="store_true", dest="as_json", help="as JSON")


def _add_scope(parser: argparse.ArgumentParser, verb: str) -> None:
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument(
        "--graph", metavar="NAME", action=_Once, help=f"{verb} one graph; without it and --workflow the whole fleet"
    )
    scope.add_argument(
        "--workflow", metavar="DAG_ID", action=_Once, help=f"{verb} the requests of one workflow, of any graph"
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="for the persons who see it")
    parser.add_argument("--by", metavar="NAME", help="who wants it; unset: the user of this process")
    parser.add_argument("--force", action="store_true", help="also for a name that the run store has not seen")
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=seconds,
        default=10.0,
        help="how long to wait until a worker has taken it in; default 10",
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="the outcome as JSON")


class _Once(argparse.Action):
    """Refuses a second value: the last one alone would count, and the first would seem to."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option} is given twice: one command changes one pause. Run it once for each")
        setattr(namespace, self.dest, values)


def seconds(text: str) -> float:
    """A time of a command line, below a day. argparse shows the function's name for a value that is none."""
    given = float(text)
    if not 0 <= given < 86_400:
        raise ValueError(text)
    return given


def add_try_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``try``."""
    options = parser.add_argument_group("the run", "JSON is given as text, as @FILE, or as - for standard input")
    parser.add_argument("graph", help="its name in langgraph.json")
    options.add_argument("--input", metavar="JSON", help="the graph's input; unset: {}")
    options.add_argument("--context", metavar="JSON", help="the run's context, an object")
    options.add_argument(
        "--config", metavar="JSON", help="as an event's config: configurable, recursion_limit, tags, ..."
    )
    options.add_argument(
        "--answer",
        metavar="[ID=]JSON",
        action="append",
        help="instead of an input: the answer to what the conversation asks; with several questions, one for each, "
        "with the id that the result names",
    )
    options.add_argument("--thread", metavar="NAME", help="a conversation, to be gone on with; unset: a new one")
    options.add_argument(
        "--store",
        metavar="FILE",
        type=Path,
        help=f"SQLite file that keeps conversations; unset: with --thread {DEFAULT_STORE}, else none is kept. The "
        "store of LANGGRAPH_WORKER_STORE_URL is never touched",
    )


def add_forget_options(parser: argparse.ArgumentParser) -> None:
    """What ``forget`` has beside the settings."""
    parser.add_argument("id", nargs="*", help="correlation ids, or how they begin: with each goes all of its task")
    parser.add_argument("--dag", metavar="ID", help="all requests of this DAG (workflow_id)")
    parser.add_argument("--run", metavar="ID", help="with --dag: of this DAG run alone (workflow_run_id)")
    parser.add_argument(
        "--thread", metavar="NAME", help="all requests of this conversation: its name, or its thread_id"
    )
    parser.add_argument("--graph", metavar="NAME", help="of this graph alone; with --memory: whose memory it is")
    parser.add_argument(
        "--memory",
        metavar="A/B",
        help="items of long-term memory in this namespace and below; / for all of the graph",
    )
    parser.add_argument("--deployment", metavar="ID", help="with --memory: of which Airflow; unset: of plain requests")
    parser.add_argument("--yes", action="store_true", help="remove it; without it, it is shown only")
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object")


def add_api_token_options(parser: argparse.ArgumentParser) -> None:
    """What ``api-token`` takes."""
    parser.add_argument("name", help="of the client, as the audit and the log name it")
    parser.add_argument(
        "--role",
        choices=("viewer", "operator", "admin"),
        default="viewer",
        help="what it may do: look; also ask for runs, cancel and answer; also read the audit",
    )
    parser.add_argument("--graph", metavar="NAME", action="append", help="only runs of this graph; may be repeated")
    parser.add_argument(
        "--deployment",
        metavar="NAME",
        action="append",
        help="only runs that this Airflow installation asked for, '' for those of none; may be repeated",
    )
