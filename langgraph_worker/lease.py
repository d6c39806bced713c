"""Keeping the leases of running runs, and noticing the ones that are lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from langgraph_worker.errors import StoreError
from langgraph_worker.store.port import Lease, RunStore

logger = logging.getLogger(__name__)

_MARGIN = 0.8  # of the lease: an owner that could not renew by then gives up before another may take over
_RETRY = 1.0  # seconds after a renewal that failed
_LEAST = 0.05
_LATE = 1.0  # seconds for a renewal that comes after its time anyhow


@dataclass(frozen=True, slots=True)
class _Call:
    """A renewal under way."""

    answer: asyncio.Task[set[Lease]]
    held: frozenset[Lease]
    asked_at: float


class LeaseKeeper:
    """Renews what its worker holds.

    :param lease_seconds, renew_seconds: see the settings.
    :param on_lost: called with each lease that is lost: its run must stop at once, and publish nothing.
    """

    def __init__(
        self,
        store: RunStore,
        worker_id: str,
        lease_seconds: float,
        renew_seconds: float,
        on_lost: Callable[[Lease], None],
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._longest = lease_seconds * _MARGIN
        self._every = renew_seconds
        self._on_lost = on_lost
        self._renewed: dict[Lease, float] = {}
        self._call: _Call | None = None
        self._one_at_a_time = asyncio.Lock()

    def hold(self, leases: Collection[Lease], claimed_at: float) -> None:
        """Start renewing.

        :param claimed_at: ``time.monotonic()`` before the claim was sent.
        """
        self._renewed.update(dict.fromkeys(leases, claimed_at))

    def drop(self, lease: Lease) -> None:
        """Stop renewing: its run is over."""
        self._renewed.pop(lease, None)

    async def run(self) -> None:
        """Renew until cancelled."""
        pause = self._every
        try:
            while True:
                await asyncio.sleep(pause)
                pause = self._every if await self._renew() else min(_RETRY, self._every / 2)
        finally:
            if self._call is not None:
                self._call.answer.cancel()
                await asyncio.wait({self._call.answer})

    async def catch_up(self) -> None:
        """Renew at once if the event loop has stood still for so long that leases may have run out."""
        if self._renewed and time.monotonic() - min(self._renewed.values()) >= self._longest:
            await self._renew()

    async def _renew(self) -> bool:
        """Ask once, or wait for the answer to what was asked; whether the store has answered."""
        async with self._one_at_a_time:
            return await self._ask()

    async def _ask(self) -> bool:
        if self._call is None:
            if not self._renewed:
                return True
            held = frozenset(self._renewed)
            answer = asyncio.create_task(self._store.renew(self._worker_id, held), name="renew")
            self._call = _Call(answer, held, time.monotonic())
        oldest = min(self._renewed.values(), default=time.monotonic())
        left = oldest + self._longest - time.monotonic()
        # When the loop has stood still it is too late already; whether anybody took the thread, the store knows.
        patience = max(left, _LEAST) if left > 0 else _LATE
        # Not a timeout around the call: cancelling it would wait for a database that does not answer.
        await asyncio.wait({self._call.answer}, timeout=patience)
        lost, answered = self._read_answer()
        now = time.monotonic()
        lost |= {lease for lease, at in self._renewed.items() if now - at >= self._longest}
        for lease in lost:
            self.drop(lease)
            self._on_lost(lease)
        return answered

    def _read_answer(self) -> tuple[set[Lease], bool]:
        call = self._call
        if call is None or not call.answer.done():
            logger.error("cannot renew leases: the store does not answer", extra={"action": "store_trouble"})
            return set(), False
        self._call = None
        try:
            lost = call.answer.result()
        except StoreError as error:
            logger.error("cannot renew leases: %s", error, extra={"action": "store_trouble"})
            return set(), False
        kept = (lease for lease in call.held if lease in self._renewed and lease not in lost)
        self._renewed.update(dict.fromkeys(kept, call.asked_at))
        return {lease for lease in lost if lease in self._renewed}, True
