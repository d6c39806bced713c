"""Which requests a ``runs cancel`` means: those that it names, or those that fit its filters."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from langgraph_worker.cli.runs.filters import MOST_AT_ONCE, read_filter
from langgraph_worker.domain.run_views import UNFINISHED, RunFilter, RunSummary, ViewStatus
from langgraph_worker.errors import SettingsError
from langgraph_worker.operations.store_access import find_one, opened_views
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.views import RunViews
from workflow_events.fields import utcnow

_CANCELLABLE = UNFINISHED | {ViewStatus.INTERRUPTED}


@dataclass(frozen=True, slots=True)
class Cancelling:
    """What is to be cancelled.

    :param runs: requests that the store knows, and that a cancel changes.
    :param unknown: requests that it does not know, named by their whole ids: they may be still to come.
    :param ended: requests that are named, but have ended: a cancel changes nothing.
    """

    runs: tuple[RunSummary, ...] = ()
    unknown: tuple[UUID, ...] = ()
    ended: tuple[RunSummary, ...] = ()

    @property
    def ids(self) -> tuple[UUID, ...]:
        """All that a cancel is sent to, each once."""
        return tuple(dict.fromkeys([*(run.correlation_id for run in self.runs), *self.unknown]))

    def status_of(self, name: UUID) -> str:
        """The status of a request that is cancelled, in a word."""
        return next((run.status.value for run in self.runs if run.correlation_id == name), "unknown")


async def chosen(settings: WorkerSettings, arguments: argparse.Namespace) -> Cancelling:
    """What the command line means, as the store has it now.

    :raises SettingsError: it names no request and no filter, or both.
    :raises WorkerError: there is no such run, or the store cannot be used.
    """
    wanted = read_filter(arguments, utcnow())
    if bool(arguments.id) != wanted.takes_all:
        raise SettingsError(
            "runs cancel: name requests by their ids, or give a filter such as --graph or --status; one of the two"
        )
    wrong = sorted(status.value for status in wanted.statuses - _CANCELLABLE)
    if wrong:
        words = ", ".join(sorted(status.value for status in _CANCELLABLE))
        raise SettingsError(f"--status {wrong[0]}: has ended, which no cancel changes. It changes {words}")
    async with opened_views(settings) as views:
        if arguments.id:
            return await _named(views, arguments.id, settings)
        return Cancelling(await _fitting(views, replace(wanted, statuses=wanted.statuses or UNFINISHED)))


async def _fitting(views: RunViews, wanted: RunFilter) -> tuple[RunSummary, ...]:
    found: list[RunSummary] = []
    after = None
    while True:
        page = await views.find(wanted, MOST_AT_ONCE, after)
        found += page.runs
        after = page.next
        if after is None:
            return tuple(found)


async def _named(views: RunViews, given: Sequence[str], settings: WorkerSettings) -> Cancelling:
    runs: list[RunSummary] = []
    unknown: list[UUID] = []
    ended: list[RunSummary] = []
    for text in dict.fromkeys(given):
        whole = _whole(text)
        if whole is not None and await views.detail(whole) is None:
            unknown.append(whole)
            continue
        detail = await find_one(views, text, settings)
        asks = any(question.asked_by == detail.run.correlation_id for question in detail.pending_questions)
        (runs if asks or not detail.run.status.is_finished else ended).append(detail.run)
    return Cancelling(tuple(runs), tuple(unknown), tuple(ended))


def _whole(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
