"""Whether a process keeps what it should let go: its resident memory over time, after it has warmed up."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import psutil

MIB = 2**20


@dataclass
class Memory:
    """Looks at one process.

    :ivar seen: resident bytes, one for each look.
    """

    pid: int | None = None
    seen: list[int] = field(default_factory=list)

    def look(self) -> int:
        """Resident bytes now."""
        now: int = psutil.Process(self.pid).memory_info().rss
        self.seen.append(now)
        return now

    @property
    def growth(self) -> float:
        """MiB by which the last fifth of the looks lies above the second fifth: the first is the warm-up.

        Medians, as a large event that is in hand at the moment is no leak.
        """
        fifth = max(1, len(self.seen) // 5)
        return (
            statistics.median(self.seen[-fifth:]) - statistics.median(self.seen[fifth : 2 * fifth] or self.seen)
        ) / MIB

    @property
    def peak(self) -> float:
        """MiB at most."""
        return max(self.seen, default=0) / MIB
