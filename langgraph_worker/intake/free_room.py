"""How many records may be taken in: the executor's room, the limits of the backlog, and the stop."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from langgraph_worker.domain.models import Request
from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store


class Consumer(Protocol):
    """What is allowed to deliver records, see :class:`~langgraph_worker.broker.port.Events`."""

    def allow(self, total: int) -> None:
        """So many, counted from the start of the worker."""

    def look_ahead(self, wanted: bool) -> None:
        """Beyond that, those that must not wait; or not even those."""


class FreeRoom:
    """Decides how many records the consumer may deliver, and is the only one that allows it more.

    Each slot of the executor or of its prefetch that no run and no waiting request takes is room for one record.
    The intake reports what it took in, the executor reports its slots after each change and, at the end of each turn of
    claims, whether anything is left that could start; then, and after each batch, the consumer gets its new total.
    Every worker of the fleet may claim what this one took in, so a look at the store finds out what still waits.

    Answers to questions are taken in without room too (rule 21): a question may hold up all that takes the room.

    Its methods belong to the event loop.

    :param slots: of the executor.
    :param prefetch: how many requests may wait for one. At least one may: another worker may have a slot for it.
    """

    def __init__(self, consumer: Consumer, store: RunStore, slots: int, prefetch: int, limits: BacklogLimits) -> None:
        self._consumer = consumer
        self._store = store
        self._most = slots + max(1, prefetch)
        self._limits = limits
        self._is_stopped = False
        self._taken = 0
        self._waiting: set[UUID] = set()
        self._in_use = 0
        self._open_graphs: Collection[str] = ()

    # ---- the intake reports ----

    def took(self, records: int, runs: Collection[UUID]) -> None:
        """A batch was stored.

        :param records: how many of its records count as delivered, with what was refused.
        :param runs: the requests that now wait for a slot.
        """
        self._taken += records
        self._waiting.update(runs)
        self._grant()

    def overload(self, request: Request) -> str | None:
        """Why a request is refused: its deployment has used up its part of the limits."""
        return self._limits.overload(request)

    # ---- the executor reports: its SlotObserver ----

    def claimed(self, runs: Collection[UUID]) -> None:
        """These requests were claimed: by this worker, but perhaps accepted by another."""
        self._waiting.difference_update(runs)

    def slots_in_use(self, count: int) -> None:
        """So many runs are active."""
        self._in_use = count

    def turn_ended(self, *, nothing_can_start: bool, open_graphs: Collection[str]) -> None:
        """The executor has claimed what it can.

        :param nothing_can_start: the waiting runs are blocked by something else than free slots: by their thread, their
            graph, or their graph's share of the slots.
        :param open_graphs: the graphs whose runs wait for nothing but a slot: the others have used up their share.
        """
        self._open_graphs = open_graphs
        if nothing_can_start:
            self._waiting.clear()
        self._grant()

    # ---- housekeeping ----

    async def look(self) -> None:
        """Find out how full the store is, and which requests no longer wait for a slot of this worker: another worker
        has claimed them, they have ended, or something else holds them up.
        """
        await self._limits.look()
        asked, graphs = set(self._waiting), self._open_graphs
        if asked:
            left = await retry_store(lambda: self._store.can_start(asked, graphs), "count what waits for a slot")
            self._waiting -= asked - left
        self._grant()

    # ---- the worker stops ----

    def stop(self) -> None:
        """Take in nothing more."""
        self._is_stopped = True
        self._grant()

    def _grant(self) -> None:
        self._consumer.look_ahead(not self._is_stopped and not self._limits.is_full_of_answers)
        if self._is_stopped or self._limits.is_full:
            self._consumer.allow(0)
            return
        room = max(0, self._most - self._in_use - len(self._waiting))
        self._consumer.allow(self._taken + room)
