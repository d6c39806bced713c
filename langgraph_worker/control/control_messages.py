"""The messages of the control topic: cancels, newer attempts, pauses, queries for stored results. The topic is read
whatever the intake does, so that they reach a full fleet too.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from langgraph_worker.domain.attempts import drawn_too_late
from langgraph_worker.domain.models import MOST_EARLY_CANCELS, Cancel, Cancelled
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.errors import RowError
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from workflow_events.codec import ControlMessage, Record, decode_control
from workflow_events.control import (
    WorkflowCancelledEvent,
    WorkflowPausedEvent,
    WorkflowQueryEvent,
    WorkflowSupersededEvent,
    WorkflowUnpausedEvent,
)
from workflow_events.errors import DecodeError
from workflow_events.log_words import counted, short_id
from workflow_events.models import Attempt

logger = logging.getLogger(__name__)

_LARGEST_MESSAGE_BYTES = 1_000_000
_CANCEL_WORDS = {
    Cancelled.ENDED: "cancelled",
    Cancelled.WITHDRAWN: "cancelled: its question is withdrawn",
    Cancelled.NOTED: "a cancel came before its request, which will not run",
    Cancelled.TOO_LATE: "a cancel came after the end of its run, and changes nothing",
    Cancelled.FORGOTTEN: "a cancel is forgotten",
}
_T = TypeVar("_T", Cancel, Attempt, PauseChange, UUID)
_R = TypeVar("_R")


class ControlMessages:
    """Writes control messages to the store before the worker acts on them. Every worker of the fleet does this; the
    first one makes the change.

    :param keep: how long a cancel waits for its request: as long as the events topic keeps records.
    :param on_change: called when runs may have ended, or results are to be published.
    """

    def __init__(self, store: RunStore, keep: timedelta, on_change: Callable[[], None]) -> None:
        self._store = store
        self._keep = keep
        self._on_change = on_change

    async def take(self, records: Sequence[Record], old: bool) -> None:
        """Apply a batch.

        :param old: the batch was written before this worker began to read: a waiter that asked for results then asks
            again.
        """
        messages = [message for record in records if (message := _read(record)) is not None]
        await self._pause(
            [message for message in messages if isinstance(message, WorkflowPausedEvent | WorkflowUnpausedEvent)]
        )
        await self._cancel([message for message in messages if isinstance(message, WorkflowCancelledEvent)])
        await self._supersede([message for message in messages if isinstance(message, WorkflowSupersededEvent)])
        if not old:
            for query in messages:
                if isinstance(query, WorkflowQueryEvent):
                    await self._answer(query)
        if messages:
            self._on_change()

    async def _pause(self, messages: Sequence[WorkflowPausedEvent | WorkflowUnpausedEvent]) -> None:
        """Before all else of a batch: a flood of cancels must not hold a pause up. The watch logs its effect."""
        changes = [pause_change(message) for message in messages]
        async for _ in _together_or_apart(changes, self._store.pause, "keep what is paused"):
            self._on_change()

    async def _cancel(self, messages: Sequence[WorkflowCancelledEvent]) -> None:
        cancels = [Cancel(message.correlation_id, message.reason, message.requested_by) for message in messages]
        async for effects in _together_or_apart(cancels, lambda part: self._store.cancel(part, self._keep), "cancel"):
            for correlation_id, effect in effects.items():
                level = logging.INFO if effect in (Cancelled.ENDED, Cancelled.WITHDRAWN) else logging.DEBUG
                about = {"action": "cancelled", "correlation_id": str(correlation_id)}
                logger.log(level, "%s (request %s)", _CANCEL_WORDS[effect], short_id(correlation_id), extra=about)
            _complain_of_forgotten([one for one, effect in effects.items() if effect is Cancelled.FORGOTTEN])

    async def _supersede(self, messages: Sequence[WorkflowSupersededEvent]) -> None:
        attempts = [message.attempt for message in messages]
        async for ended in _together_or_apart(attempts, self._store.supersede, "end what newer attempts supersede"):
            if ended:
                text = "%s ended: newer attempts of their tasks are announced"
                logger.info(text, counted(ended, "run"), extra={"action": "superseded"})

    async def _answer(self, query: WorkflowQueryEvent) -> None:
        ids = sorted(query.correlation_ids)
        what = "publish results again"
        async for count in _together_or_apart(ids, lambda some: self._store.publish_again(query.query_id, some), what):
            if count:
                text = "%s sent again: a waiting task has asked"
                logger.info(text, counted(count, "result"), extra={"action": "query"})


def _complain_of_forgotten(ids: Sequence[UUID]) -> None:
    if ids:
        text = (
            "%d cancels are forgotten: over %d wait for requests that have not come. If one of these still comes, it "
            "runs: cancel it again. See who floods the control topic. They are: %s"
        )
        shown = ", ".join(map(str, ids[:50])) + (", ..." if len(ids) > 50 else "")
        logger.error(text, len(ids), MOST_EARLY_CANCELS, shown, extra={"action": "cancel_forgotten"})


def pause_change(message: WorkflowPausedEvent | WorkflowUnpausedEvent) -> PauseChange:
    """What a message wants, as the store keeps it."""
    is_on = isinstance(message, WorkflowPausedEvent)
    at_once = isinstance(message, WorkflowPausedEvent) and message.at_once
    by = message.requested_by
    return PauseChange(message.scope, message.name, is_on, message.timestamp, at_once, message.reason, by)


def _name(item: Cancel | Attempt | PauseChange | UUID) -> str:
    """What a person finds the message by."""
    match item:
        case Cancel():
            return str(item.correlation_id)
        case Attempt():
            return f"try {item.try_number} of task {item.task}"
        case PauseChange():
            return f"{'the pause' if item.is_on else 'the end of the pause'} of {item.scope_in_words}"
    return str(item)


async def _together_or_apart(
    items: Sequence[_T], call: Callable[[Sequence[_T]], Awaitable[_R]], what: str
) -> AsyncIterator[_R]:
    """Apply messages in one transaction. If the store cannot take one of them, apply each by itself, without that
    one: it would end every worker of the fleet, and again at each start.
    """
    if not items:
        return
    try:
        results = [await retry_store(lambda: call(items), what)]
    except RowError as error:
        if len(items) == 1:
            name = _name(items[0])
            logger.error("ignored on the control topic, %s: %s", name, error, extra={"action": "ignored"})
            return
        results = [result for item in items async for result in _together_or_apart([item], call, what)]
    for result in results:
        yield result


def _read(record: Record) -> ControlMessage | None:
    size = len(record.value or b"")
    if size > _LARGEST_MESSAGE_BYTES:
        logger.error("%s: %d bytes are no control message; ignored", record.where, size, extra={"action": "ignored"})
        return None
    try:
        message = decode_control(record)
    except DecodeError as error:
        logger.error("ignored on the control topic: %s", error, extra={"action": "ignored"})
    except Exception as error:
        logger.exception("%s: reading it failed: %s", record.where, type(error).__name__, extra={"action": "ignored"})
    else:
        return message if _is_of_this_time(message, record.where) else None
    return None


def _is_of_this_time(message: ControlMessage, where: str) -> bool:
    """False for an attempt of the future: it would end every attempt of its task to come."""
    if not isinstance(message, WorkflowSupersededEvent):
        return True
    problem = drawn_too_late(message.attempt, datetime.now(UTC))
    if problem:
        logger.error("ignored on the control topic: %s: %s", where, problem, extra={"action": "ignored"})
    return problem is None
