"""The leases that a worker holds, and when each was renewed last. Safe to share between threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from langgraph_worker.domain.models import Lease


class HeldLeases:
    """A renewal counts from the moment before the store was asked.

    :param overdue_after_seconds: an owner that could not renew for so long gives up.
    :param now: seconds of a monotonic clock.
    """

    def __init__(self, overdue_after_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._overdue_after_seconds = overdue_after_seconds
        self._now = now
        self._guard = threading.Lock()
        self._renewed_at: dict[Lease, float] = {}

    def hold(self, leases: Collection[Lease], claimed_at: float) -> None:
        """Add leases."""
        with self._guard:
            self._renewed_at.update(dict.fromkeys(leases, claimed_at))

    def drop(self, lease: Lease) -> bool:
        """Remove a lease; whether it was held."""
        with self._guard:
            return self._renewed_at.pop(lease, None) is not None

    def renewed(self, leases: Collection[Lease], asked_at: float) -> None:
        """Note a renewal. A lease that was dropped meanwhile stays dropped."""
        with self._guard:
            self._renewed_at.update((lease, asked_at) for lease in leases if lease in self._renewed_at)

    def all(self) -> frozenset[Lease]:
        """Every lease that is held."""
        with self._guard:
            return frozenset(self._renewed_at)

    def overdue(self) -> set[Lease]:
        """The leases whose renewal is too late."""
        return {lease for lease in self.all() if self.is_overdue(lease)}

    def is_overdue(self, lease: Lease) -> bool:
        """Whether the renewal of a lease is too late; never of one that is not held."""
        renewed_at = self._renewed_at.get(lease)
        return renewed_at is not None and renewed_at <= self._now() - self._overdue_after_seconds
