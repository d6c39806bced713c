"""How long the soak is, and what it does to the fleet meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Store = Literal["postgresql", "sqlite"]

CONCURRENCY = 16
"""Runs at once, of each worker."""
SLOW_MODEL = "served:slow"
"""The model of ``limited``; langgraph.json allows it so many requests in a minute:"""
SLOW_PER_MINUTE = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """A soak's size.

    The first part has kills in it. A process that is killed takes its counters along, so the figures are compared for
    the second part, which has everything else.

    :param seconds: of load.
    :param per_second: requests; so few that nothing waits for long, also where the machine has other work.
    :param strike_seconds: about so long after one interference follows the next.
    :param keep_seconds: how long an ended run stays in the store, and how long a request may take.
    :param leak_bytes: what each run of ``quick`` leaves behind in its worker: a fault to be found.
    """

    seed: int
    seconds: float
    store: Store = "postgresql"
    per_second: float = 3.0
    strike_seconds: float = 20.0
    keep_seconds: float = 240.0
    leak_bytes: int = 0

    @property
    def kill_seconds(self) -> float:
        """How long the first part is."""
        return self.seconds / 3

    @property
    def workers(self) -> int:
        """SQLite is for one. The first of several is never struck: its memory is judged over the whole soak."""
        return 1 if self.store == "sqlite" else 3

    @property
    def mortal(self) -> tuple[int, ...]:
        """The workers that are killed and restarted."""
        return tuple(range(self.workers))[min(1, self.workers - 1) :]


def long_form(seed: int, minutes: float, store: Store, per_second: float, leak_bytes: int) -> Plan:
    """What ``make soak`` runs."""
    return Plan(seed, minutes * 60, store, per_second, leak_bytes=leak_bytes)


def short_form(seed: int) -> Plan:
    """What CI runs: a kill, a restart and a few more, and no slopes. Its requests have time on slow machines."""
    return Plan(seed, 45.0, strike_seconds=4.0, keep_seconds=120.0)
