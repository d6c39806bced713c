"""The command line of ``dlq``. Quick to import: every command's parser needs it."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"(\d{1,7})([smhd])")
_PLACE = "PLACE|ID"
_PLACE_HELP = (
    "a letter: its place as list shows it, such as 0:17 (partition and offset), or the request's correlation id, which "
    "means the newest letter of that request"
)


def add_dlq_commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The commands of ``dlq``, to be given the settings."""
    commands = parser.add_subparsers(dest="dlq_command", required=True)
    return [_add_list(commands), _add_show(commands), _add_replay(commands)]


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "a line for each dead letter that is there now, the newest of a partition last"
    command = commands.add_parser("list", help=text, description=text, allow_abbrev=False)
    _add_filters(command)
    command.add_argument("--last", metavar="N", type=_positive, help="only the N newest of those that fit")
    command.add_argument("--json", action="store_true", dest="as_json", help="one JSON object on each line")
    return command


def _add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "one dead letter: why it died, its headers and its event"
    command = commands.add_parser("show", help=text, description=text, allow_abbrev=False)
    command.add_argument("letter", metavar=_PLACE, help=_PLACE_HELP)
    command.add_argument("--full", action="store_true", help="the whole event, however long it is")
    return command


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "send the requests of dead letters again; each goes on with its run, and is answered by an event of its own"
    command = commands.add_parser("replay", help=text, description=text, allow_abbrev=False)
    command.add_argument("letters", metavar=_PLACE, nargs="*", help=_PLACE_HELP)
    _add_filters(command)
    command.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    command.add_argument("--yes", action="store_true", help="send all that the filters choose")
    _add_choices(command)
    command.add_argument(
        "--kafka-config-id",
        metavar="NAME",
        default="kafka_default",
        help="the Airflow connection to this fleet, for the handles. Default kafka_default",
    )
    command.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        help="one JSON object on each line, with the handle for a LangGraphResultSensor",
    )
    return command


def _add_choices(command: argparse.ArgumentParser) -> None:
    """What a replay is to be like."""
    command.add_argument(
        "--number",
        metavar="N",
        type=_positive,
        help="which replay it is to be; unset: the next after the letter's own. Give a higher number if an earlier "
        "replay of the same letter has ended, without a dead letter, and it shall run once more",
    )
    command.add_argument(
        "--deadline-hours",
        metavar="HOURS",
        type=_hours,
        default=24.0,
        help="how long it may take; the request's own deadline has passed. Default 24",
    )
    command.add_argument(
        "--past-retention",
        action="store_true",
        help="also letters that are older than LANGGRAPH_WORKER_RETENTION_DAYS: the run store may have forgotten their "
        "tasks, and then starts them afresh, beside a newer attempt perhaps",
    )


def _add_filters(command: argparse.ArgumentParser) -> None:
    filters = command.add_argument_group("which letters", "all that are given must fit")
    filters.add_argument(
        "--reason", metavar="TYPE", action="append", default=[], help="error type, such as worker_lost; may be repeated"
    )
    filters.add_argument("--graph", metavar="NAME", help="that the event names")
    filters.add_argument("--dag", metavar="ID", help="the event's workflow_id")
    filters.add_argument("--run", metavar="ID", help="the event's workflow_run_id")
    filters.add_argument("--text", metavar="TEXT", help="part of the reason or of the event")
    filters.add_argument(
        "--since", metavar="WHEN", type=since, help="written since then: 30m, 12h, 7d, or 2026-11-30T18:00 (UTC)"
    )


def since(text: str) -> datetime:
    """The instant that ``--since`` names.

    :raises argparse.ArgumentTypeError: it names none.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time. Write 30m, 12h or 7d, or a time such as 2026-11-30T18:00 (UTC)"
        ) from None


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 36_500 * 24:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours above 0")
    return hours
