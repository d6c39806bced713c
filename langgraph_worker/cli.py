"""``langgraph-worker run | graphs | check | prune``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from langgraph_worker import __version__
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.logs import set_up_logging
from langgraph_worker.settings import documentation, load_settings, misspelt_variables

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 cannot work, 2 a wrong setting or command line."""
    arguments = _parser().parse_args(argv)
    flags = {
        setting.field: str(value)
        for setting in documentation()
        if (value := getattr(arguments, setting.field, None)) is not None
    }
    try:
        set_up_logging("WARNING")  # until the settings say otherwise
        if arguments.command == "check":
            from langgraph_worker.check import check

            return check(flags)
        if arguments.command == "prune":
            from langgraph_worker.prune import prune

            return prune(flags)
        if arguments.command == "graphs":
            return _list_graphs(flags)
        return _run(flags)
    except SettingsError as error:
        print(f"langgraph-worker: {error}", file=sys.stderr)
        return 2
    except WorkerError as error:
        print(f"langgraph-worker: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="langgraph-worker", description="Run LangGraph graphs on events from Kafka.")
    parser.add_argument("--version", action="version", version=f"langgraph-worker {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("run", "take events and run their graphs, until SIGTERM or Ctrl-C"),
        ("graphs", "list the graphs of langgraph.json"),
        ("prune", "remove ended runs that are older than the retention, with their steps and checkpoints"),
        ("check", "could a worker start here? One line each for config, broker, topics, store and graphs"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        settings = command.add_argument_group(
            "settings", "each is also an environment variable, named below; a flag wins over it"
        )
        for setting in documentation():
            default = f"; default {setting.default}" if setting.default else ""
            text_of = f"{setting.description} [{setting.env}{default}]".replace("%", "%%")
            if setting.boolean:
                settings.add_argument(
                    setting.flag, action=argparse.BooleanOptionalAction, default=None, help=text_of, dest=setting.field
                )
            else:
                settings.add_argument(setting.flag, metavar="VALUE", help=text_of, dest=setting.field)
    return parser


def _run(flags: dict[str, str]) -> int:
    settings = load_settings(flags)
    set_up_logging(settings.log_level)
    # Only now: LangGraph takes a second to import, and a wrong setting should be told at once.
    from langgraph_worker.graphs.project import load_project
    from langgraph_worker.process import serve

    logger.info(
        "worker starting: Kafka at %s, graphs of %s",
        settings.kafka_bootstrap_servers,
        settings.langgraph_json,
        extra={"action": "starting"},
    )
    for name in misspelt_variables():
        logger.warning("%s is set, but no setting has this name", name, extra={"action": "config"})
    return serve(settings, load_project(settings))


def _list_graphs(flags: dict[str, str]) -> int:
    from langgraph_worker.graphs.project import load_project

    graphs = list(load_project(load_settings(flags)))
    width = max(len(graph.spec.name) for graph in graphs)
    for graph in graphs:
        line = f"{graph.spec.name:<{width}}  {graph.kind:<8}  {graph.spec.target}  {graph.spec.description}"
        print(line.rstrip())
    return 0
