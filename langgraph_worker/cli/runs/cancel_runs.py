"""``langgraph-worker runs cancel``: ask the workers to end requests. The command itself changes no run."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic import ValidationError

from langgraph_worker.cli.output import print_note
from langgraph_worker.cli.runs.as_json import written
from langgraph_worker.cli.runs.cancel_choice import Cancelling, chosen
from langgraph_worker.cli.runs.list_runs import run_table
from langgraph_worker.cli.user_name import user_name
from langgraph_worker.domain.run_views import RunSummary
from langgraph_worker.errors import SettingsError
from langgraph_worker.operations.sending import NotSentError, send_all
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.codec import encode
from workflow_events.control import WorkflowCancelledEvent
from workflow_events.fields import utcnow
from workflow_events.log_words import counted
from workflow_events.plain_text import one_line

_SHOWN = 20
NOT_CONFIRMED = 2
"""The exit code where a bulk cancel lacks ``--yes``: nothing was sent."""


Effect = Literal["sent", "would be sent", "ended before"]


@dataclass(frozen=True, slots=True)
class _Report:
    """What is done about one request."""

    correlation_id: UUID
    effect: Effect
    status: str

    def as_json(self) -> str:
        return written({"correlation_id": str(self.correlation_id), "cancel": self.effect, "status": self.status})


def cancel_runs(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Send a cancel for each request that is meant, and wait until the broker has them.

    :returns: 0 if it has, or with ``--dry-run``; 2 if requests are chosen by filters, and ``--yes`` is missing.
    :raises WorkerError: the settings or options are wrong, there is no such run, the store cannot be used, or the
        broker has not acknowledged a cancel.
    """
    _message(UUID(int=0), arguments)  # a wrong reason is named before anything is looked for
    settings = load_settings(flags)
    cancelling = asyncio.run(chosen(settings, arguments))
    if not cancelling.ids and not cancelling.ended:
        print_note("no run that could be cancelled fits")
        return 0
    is_confirmed = bool(arguments.id) or arguments.yes
    sends = is_confirmed and not arguments.dry_run
    if sends:
        _send(settings, arguments, cancelling)
    _print(cancelling, arguments, "sent" if sends else "would be sent")
    if arguments.dry_run or sends:
        return 0
    print_note(f"nothing is cancelled yet. The same command with --yes cancels {_these(cancelling)}")
    return NOT_CONFIRMED


def _send(settings: WorkerSettings, arguments: argparse.Namespace, cancelling: Cancelling) -> None:
    messages = [encode(_message(name, arguments)) for name in cancelling.ids]
    errors = asyncio.run(send_all(settings, settings.kafka_workflow_control_topic, messages))
    failed = [(name, error) for name, error in zip(cancelling.ids, errors, strict=True) if error is not None]
    if failed:
        raise NotSentError(
            f"{counted(len(failed), 'cancel')} of {len(messages):,} not acknowledged, the first one of "
            f"{failed[0][0]}: {failed[0][1]}. Give the same command again: a cancel that comes twice does no harm"
        )


def _message(name: UUID, arguments: argparse.Namespace) -> WorkflowCancelledEvent:
    by = user_name(arguments.by)
    try:
        return WorkflowCancelledEvent(correlation_id=name, reason=arguments.reason or "", requested_by=by)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        flag = "--by" if first["loc"][0] == "requested_by" else "--reason"
        raise SettingsError(f"{flag}: {first['msg'].removeprefix('Value error, ')}") from None


def _print(cancelling: Cancelling, arguments: argparse.Namespace, effect: Effect) -> None:
    reports = [_Report(name, effect, cancelling.status_of(name)) for name in cancelling.ids]
    reports += [_Report(run.correlation_id, "ended before", run.status.value) for run in cancelling.ended]
    if arguments.as_json:
        print("\n".join(report.as_json() for report in reports))
        return
    if cancelling.runs:
        print("\n".join(_table(cancelling.runs)))
    for name in cancelling.unknown:
        print_note(f"{name} is not in the store: it is answered cancelled when its event comes")
    for run in cancelling.ended:
        print_note(one_line(f"{run.correlation_id} has ended ({run.status.value}): there is nothing to cancel"))
    if cancelling.ids:
        print_note(f"{'a cancel is sent' if effect == 'sent' else 'a cancel would be sent'} to {_these(cancelling)}")


def _these(cancelling: Cancelling) -> str:
    return counted(len(cancelling.ids), "request")


def _table(runs: Sequence[RunSummary]) -> list[str]:
    more = [f"and {len(runs) - _SHOWN:,} more"] if len(runs) > _SHOWN else []
    return [*run_table(runs[:_SHOWN], utcnow()), *more]
