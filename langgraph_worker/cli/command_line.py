"""The command line: ``langgraph-worker run | try | graphs | runs | prune | forget | dlq | pause | pauses | check``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from langgraph_worker import __version__
from langgraph_worker.cli.dlq_options import add_dlq_commands
from langgraph_worker.cli.options import (
    add_api_token_options,
    add_forget_options,
    add_graphs_options,
    add_pause_options,
    add_pauses_options,
    add_try_options,
    add_unpause_options,
)
from langgraph_worker.cli.runs.options import add_runs_commands
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.settings.explain import Setting, documentation
from langgraph_worker.settings.model import flag_name
from langgraph_worker.telemetry.logs import masked, set_up_logging
from workflow_events.plain_text import indented

Command = Callable[[Mapping[str, str], argparse.Namespace], int]
"""Takes the settings' flags by the name of their field, and all that the command line says; returns the exit code."""

_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "try": add_try_options,
    "graphs": add_graphs_options,
    "pause": add_pause_options,
    "unpause": add_unpause_options,
    "pauses": add_pauses_options,
    "forget": add_forget_options,
    "api-token": add_api_token_options,
}
"""What a command has beside the settings."""

_COMMANDS_WITHIN = {"dlq": add_dlq_commands, "runs": add_runs_commands}
"""The commands that have commands of their own, which have the settings."""

_COMMANDS = {
    "run": "take events and run their graphs, until SIGTERM or Ctrl-C",
    "try": "run one graph here and now, as a worker would, but without Kafka",
    "graphs": "show the graphs of langgraph.json, with their schemas",
    "runs": "look at runs, cancel them, go on with them",
    "prune": "remove ended runs that are older than the retention, with their steps and checkpoints",
    "forget": "remove all that the store keeps of a task, a DAG run or a thread, or in a long-term memory",
    "dlq": "look at dead letters, and send their requests again: dlq list | show | replay",
    "pause": "start nothing more of the fleet, of a graph or of a workflow, and stop what runs; nothing queued is lost",
    "unpause": "end a pause: what waits starts, what was stopped goes on from its last checkpoint",
    "pauses": "show what is paused, since when, by whom and why",
    "api": "serve the fleet's API over HTTP, until SIGTERM or Ctrl-C: look at runs, ask for them, steer them",
    "api-token": "make a token for a client of the API",
    "check": "could a worker start here? One line each for config, broker, topics, store and graphs",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 cannot work, 2 a wrong setting or command line, 130 Ctrl-C; ``try`` has 3
    for a run that waits for an answer, ``pause`` and ``unpause`` have it for a message that no worker is known to have
    taken in.
    """
    flags, arguments = read_command_line(argv)
    try:
        set_up_logging("WARNING")  # until the settings are known
        code = find_command(arguments.command)(flags, arguments)
        sys.stdout.flush()
        return code
    except SettingsError as error:
        print(f"langgraph-worker: {indented(masked(str(error)))}", file=sys.stderr)
        return 2
    except WorkerError as error:
        print(f"langgraph-worker: {indented(masked(str(error)))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `runs list | head`: Python would complain once more when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def read_command_line(argv: Sequence[str] | None) -> tuple[dict[str, str], argparse.Namespace]:
    """The settings' flags by the name of their field, and all that the command line says."""
    arguments = _parser().parse_args(argv)
    flags = {
        setting.field: str(value)
        for setting in documentation()
        if (value := getattr(arguments, setting.field, None)) is not None
    }
    return flags, arguments


def find_command(name: str) -> Command:
    """The command of this name. Only its own module is imported: some need LangGraph, which takes a second."""
    if name == "try":
        from langgraph_worker.cli.try_graph import try_graph

        return try_graph
    if name == "graphs":
        from langgraph_worker.cli.graphs import show_graphs

        return show_graphs
    if name == "forget":
        from langgraph_worker.cli.forget import forget

        return forget
    if name == "dlq":
        from langgraph_worker.cli.dlq import dlq

        return dlq
    if name in ("pause", "unpause", "pauses"):
        from langgraph_worker.cli import pause

        return {"pause": pause.pause, "unpause": pause.unpause, "pauses": pause.show_pauses}[name]
    if name == "api-token":
        from langgraph_worker.cli.api import api_token

        return api_token
    if name == "runs":
        from langgraph_worker.cli.runs.command import runs

        return runs
    simple = _simple_command(name)
    return lambda flags, arguments: simple(flags)


def _simple_command(name: str) -> Callable[[Mapping[str, str]], int]:
    """A command that has settings only."""
    if name == "check":
        from langgraph_worker.cli.check import check

        return check
    if name == "api":
        from langgraph_worker.cli.api import api

        return api
    if name == "prune":
        from langgraph_worker.cli.prune import prune

        return prune
    from langgraph_worker.cli.run import run

    return run


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="langgraph-worker", description="Run LangGraph graphs on events from Kafka.")
    parser.add_argument("--version", action="version", version=f"langgraph-worker {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name in _OPTIONS:
            _OPTIONS[name](command)
        if name == "api-token":
            continue  # it needs no settings
        within = _COMMANDS_WITHIN.get(name)
        for one in within(command) if within else [command]:
            _add_settings(one)
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    settings = command.add_argument_group(
        "settings", "each is also an environment variable, named below; a flag wins over it"
    )
    for setting in documentation():
        _add(settings, setting)


def _add(group: argparse._ArgumentGroup, setting: Setting) -> None:
    if setting.secret:
        # Not "unrecognized arguments", which would repeat the secret.
        group.add_argument(flag_name(setting.field), action=_NoFlag, help=argparse.SUPPRESS, const=setting.env)
        return
    default = f"; default {setting.default}" if setting.default else ""
    text = f"{setting.description} [{setting.env}{default}]".replace("%", "%%")
    if setting.boolean:
        yes_or_no = argparse.BooleanOptionalAction
        group.add_argument(setting.flag, action=yes_or_no, default=None, help=text, dest=setting.field)
    else:
        group.add_argument(setting.flag, metavar="VALUE", help=text, dest=setting.field)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: the usage of a command has sixty lines, for its settings are flags."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: {indented(message)}. `{self.prog} --help` shows what it takes\n")


class _NoFlag(argparse.Action):
    """Refuses the flag of a secret; ``const`` is the variable to use instead."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option_string: str | None = None
    ) -> None:
        del namespace, values
        parser.error(
            f"{option_string} is no flag: it would show a secret in the list of processes. Set {self.const}, or write "
            f"the value into a file and name it in {self.const}_FILE or {option_string}-file"
        )
