"""What is to happen: how many runs over how long, and which faults in which order, all of it from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

WORKERS = 3
LEASE_SECONDS = 10.0
"""Seconds."""
RENEW_SECONDS = 3.0
CONCURRENCY = 16
"""Runs at once, of each worker."""
NODES = ("fetch", "think", "trade", "report")


class Kind(StrEnum):
    """What is done to the fleet."""

    KILL = "SIGKILL of a worker"
    SUSPEND = "SIGSTOP of a worker past its lease"
    BROKER = "restart of the broker"
    STORE = "restart of PostgreSQL"
    ALL_DOWN = "all workers down while cancels arrive"
    CLEARS = "clears while every slot is full"


@dataclass(frozen=True, slots=True)
class Fault:
    """One of them.

    :param at: seconds after the load began; later if the one before takes longer.
    :param worker: which one it strikes, if one.
    :param hard: a restart begins with SIGKILL, not in an orderly way.
    :param seconds: how long it lasts.
    """

    at: float
    kind: Kind
    worker: int
    hard: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A proof's size.

    :param runs: requests that are to run.
    :param seconds: over how long they are asked.
    """

    seed: int
    runs: int
    seconds: float
    kills: int = 20
    suspensions: int = 4
    restarts: int = 3
    all_downs: int = 2
    clears: int = 4

    def faults(self) -> list[Fault]:
        """In order, evenly spread with some jitter; the same for the same seed."""
        rng = random.Random(f"faults-{self.seed}")
        kinds = [
            kind
            for kind, count in (
                (Kind.KILL, self.kills),
                (Kind.SUSPEND, self.suspensions),
                (Kind.BROKER, self.restarts),
                (Kind.STORE, self.restarts),
                (Kind.ALL_DOWN, self.all_downs),
                (Kind.CLEARS, self.clears),
            )
            for _ in range(count)
        ]
        rng.shuffle(kinds)
        step = (self.seconds - 5) / max(1, len(kinds))
        seen: dict[Kind, int] = {}
        faults = []
        for number, kind in enumerate(kinds):
            seen[kind] = seen.get(kind, 0) + 1
            at = 3 + step * (number + rng.uniform(0.0, 0.6))
            faults.append(_fault(rng, at, kind, seen[kind]))
        return faults


def _fault(rng: random.Random, at: float, kind: Kind, number: int) -> Fault:
    """The second of each kind of restart is a crash, and the third lasts longer than a lease."""
    seconds = {
        Kind.KILL: rng.uniform(0.0, 3.0),
        Kind.SUSPEND: LEASE_SECONDS + rng.uniform(2.0, 5.0),
        Kind.BROKER: LEASE_SECONDS + 3 if number == 3 else rng.uniform(0.0, 2.0),
        Kind.STORE: LEASE_SECONDS + 3 if number == 3 else rng.uniform(0.0, 2.0),
        Kind.ALL_DOWN: rng.uniform(1.0, 4.0),
        Kind.CLEARS: 0.0,
    }[kind]
    return Fault(at, kind, rng.randrange(WORKERS), number == 2 and kind in (Kind.BROKER, Kind.STORE), seconds)


def long_form(seed: int, runs: int, minutes: float) -> Plan:
    """The whole proof.

    :param minutes: from the first request to the last answer, about: a tenth is kept for what is late.
    """
    return Plan(seed, runs, minutes * 60 * 0.9)


def short_form(seed: int) -> Plan:
    """What fits into three minutes, starts and ends included."""
    return Plan(seed, 800, 130.0, kills=3, suspensions=1, restarts=1, all_downs=1, clears=1)
