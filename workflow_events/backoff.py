"""The pauses between tries, for both sides."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Pauses that double from the first to the longest. One thread may use it.

    :param first_seconds: the pause after the first failure.
    :param longest_seconds: no pause is longer.
    """

    first_seconds: float
    longest_seconds: float
    _next_seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self._next_seconds = self.first_seconds

    def next_seconds(self) -> float:
        """The seconds to pause now. The next call gives twice as many, up to the longest."""
        pause = self._next_seconds
        self._next_seconds = min(pause * 2, self.longest_seconds)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again, after a success."""
        self._next_seconds = self.first_seconds
