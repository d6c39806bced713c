"""What comes on the control topic: cancels, newer attempts, questions for stored results. It is read whatever the
intake does, so that a full fleet can be steered.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from langgraph_worker.errors import UnstorableError
from langgraph_worker.patience import persist
from langgraph_worker.store.port import Cancel, Cancelled, RunStore
from workflow_events.codec import ControlMessage, Record, decode_control
from workflow_events.control import WorkflowCancelledEvent, WorkflowQueryEvent, WorkflowSupersededEvent
from workflow_events.errors import DecodeError

logger = logging.getLogger(__name__)

_LARGEST = 1_000_000  # bytes
_T = TypeVar("_T")
_R = TypeVar("_R")


class Steering:
    """Applies control messages to the store, before anybody acts on them. Every worker of the fleet does, and one is
    the first.

    :param keep: how long a cancel waits for its request: as long as the events topic keeps records.
    :param on_change: called when runs may have ended, or results are to be published.
    """

    def __init__(self, store: RunStore, keep: timedelta, on_change: Callable[[], None]) -> None:
        self._store = store
        self._keep = keep
        self._on_change = on_change

    async def take(self, records: Sequence[Record], old: bool) -> None:
        """Apply a batch.

        :param old: it was written before this worker began to read: who asked for results then, asks again.
        """
        messages = [message for record in records if (message := _read(record)) is not None]
        await self._cancel([one for one in messages if isinstance(one, WorkflowCancelledEvent)])
        await self._supersede([one for one in messages if isinstance(one, WorkflowSupersededEvent)])
        if not old:
            for query in messages:
                if isinstance(query, WorkflowQueryEvent):
                    await self._answer(query)
        if messages:
            self._on_change()

    async def _cancel(self, messages: Sequence[WorkflowCancelledEvent]) -> None:
        cancels = [Cancel(one.correlation_id, one.reason, one.requested_by) for one in messages]
        async for became in _together_or_apart(cancels, lambda some: self._store.cancel(some, self._keep), "cancel"):
            for of, what in became.items():
                level = logging.INFO if what in (Cancelled.ENDED, Cancelled.WITHDRAWN) else logging.DEBUG
                about = {"action": "cancelled", "correlation_id": str(of)}
                logger.log(level, "a cancel of %s: %s", of, what.value, extra=about)

    async def _supersede(self, messages: Sequence[WorkflowSupersededEvent]) -> None:
        attempts = [one.attempt for one in messages]
        async for ended in _together_or_apart(attempts, self._store.supersede, "end what newer attempts supersede"):
            if ended:
                text = "%d runs ended: newer attempts of their tasks are on the way"
                logger.info(text, ended, extra={"action": "superseded"})

    async def _answer(self, query: WorkflowQueryEvent) -> None:
        again = await persist(
            lambda: self._store.publish_again(query.query_id, query.correlation_ids), "publish results again"
        )
        if again:
            logger.info("%d results are published again, as asked", again, extra={"action": "query"})


async def _together_or_apart(
    items: Sequence[_T], call: Callable[[Sequence[_T]], Awaitable[_R]], what: str
) -> AsyncIterator[_R]:
    """Apply messages in one transaction; or, if the database cannot keep one of them, each by itself and that one not:
    it would end every worker of the fleet, and again at each start.
    """
    if not items:
        return
    try:
        found = [await persist(lambda: call(items), what)]
    except UnstorableError as error:
        if len(items) == 1:
            logger.error("ignored on the control topic: %s", error, extra={"action": "ignored"})
            return
        found = [one for item in items async for one in _together_or_apart([item], call, what)]
    for one in found:
        yield one


def _read(record: Record) -> ControlMessage | None:
    size = len(record.value or b"")
    if size > _LARGEST:
        logger.error("%s: %d bytes are no control message; ignored", record.where, size, extra={"action": "ignored"})
        return None
    try:
        return decode_control(record)
    except DecodeError as error:
        logger.error("ignored on the control topic: %s", error, extra={"action": "ignored"})
    except Exception as error:
        logger.exception("%s: reading it failed: %s", record.where, type(error).__name__, extra={"action": "ignored"})
    return None
