"""Which runs a command line means."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

from langgraph_worker.domain.run_views import PageKey, RunFilter, ViewStatus
from langgraph_worker.errors import SettingsError
from workflow_events.nearest_name import did_you_mean

MOST_AT_ONCE = 1_000
"""How many runs a page may have."""

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIMES = "2026-11-30, 2026-11-30T08:15, 2026-11-30T08:15+02:00, or a time ago: 90m, 12h, 7d"


def read_filter(arguments: argparse.Namespace, now: datetime) -> RunFilter:
    """The runs that the filters of a command line mean.

    :raises SettingsError: names the flag that is wrong, and what is right.
    """
    return RunFilter(
        statuses=frozenset(_status(word) for given in arguments.status or () for word in given.split(",")),
        graph=_text("--graph", arguments.graph),
        workflow_id=_text("--dag", arguments.dag),
        workflow_run_id=_text("--run", arguments.run),
        thread=_text("--thread", arguments.thread),
        error_type=_text("--error", arguments.error),
        since=_time("--since", arguments.since, now),
        before=_time("--before", arguments.before, now),
    )


def read_limit(given: str) -> int:
    """The value of ``--limit``.

    :raises SettingsError: it is no number from 1 to :data:`MOST_AT_ONCE`.
    """
    if given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= MOST_AT_ONCE:
        return int(given)
    raise SettingsError(f"--limit {given!r}: must be a number from 1 to {MOST_AT_ONCE:,}")


def read_page(given: str | None) -> PageKey | None:
    """The value of ``--page``.

    :raises SettingsError: no page is called so.
    """
    if given is None:
        return None
    try:
        return PageKey.parse(given)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"--page {given!r}: take the key that the page before has named, with the same filters"
        ) from None


def _status(word: str) -> ViewStatus:
    name = word.strip().lower()
    try:
        return ViewStatus(name)
    except ValueError:
        known = [status.value for status in ViewStatus]
        raise SettingsError(
            f"--status {word!r}: there is no such status.{did_you_mean(name, known)} There are {', '.join(known)}"
        ) from None


def _text(flag: str, given: str | None) -> str | None:
    if given is None:
        return None
    try:
        given.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{flag}: the value is not UTF-8") from None
    if not given:
        raise SettingsError(f"{flag}: must not be empty; leave it out, and runs with any value are meant")
    return given


def _time(flag: str, given: str | None, now: datetime) -> datetime | None:
    if given is None:
        return None
    ago = _AGO.fullmatch(given)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(given)
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SettingsError(f"{flag} {given!r}: is no time. Write it as {_TIMES}; UTC unless it names a zone") from None
