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
    parser.add_argument("--mermaid", metavar="GRAPH", help="the picture of one graph as Mermaid text, and nothing else")


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
