"""How often something may happen."""

from __future__ import annotations

from collections.abc import Callable

_BURST_SECONDS = 5


class TokenBucket:
    """So many a second in the long run, some seconds' worth at once.

    :param now: seconds of a monotonic clock.
    """

    def __init__(self, per_second: float, now: Callable[[], float]) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, per_second * _BURST_SECONDS)
        self._left = self._capacity
        self._now = now
        self._filled_at = now()

    def take(self) -> bool:
        """Whether one more may go."""
        now = self._now()
        self._left = min(self._capacity, self._left + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
