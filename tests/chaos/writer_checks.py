"""Judges the ledgers: no durable node ran again, and no thread had two writers.

A thread's writes are ordered by its checkpoints, each of which names the one before. Two writers would both go on from
the same one: so the checkpoints of a thread must be one chain, and a state must have come through executions that the
ledgers know to have ended, one after the other.

Executions of one thread may overlap in time for one reason only: the older one's process was stopped by SIGSTOP, and
the thread was taken over when its lease had run out. Nobody can tell a stopped process anything; what it does when it
wakes up must count for nothing, which the chain shows. A killed process does nothing any more, and every other owner
that has lost its thread knows so in time: it lets go before somebody else begins. A process that wakes up may begin a
node before it has looked at its leases: within a second, void like all it does, and counted apart.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

from tests.chaos.evidence import Evidence, seconds
from tests.chaos.faults import Window
from tests.chaos.fleet import Life
from tests.chaos.ledger import Execution, ends
from tests.chaos.plan import LEASE_SECONDS, NODES, RENEW_SECONDS, Kind
from tests.chaos.request_checks import Violation

_WAKING_SECONDS = 1.0
"""Seconds after SIGCONT in which a process finds out which of its leases are lost."""
_RECOVERY_SECONDS = 15.0
"""Seconds after PostgreSQL came back in which owners that gave up meanwhile are replaced."""


@dataclass
class Writers:
    """:ivar again: by reason, how many node executions were repeated."""

    executions: Sequence[Execution]
    evidence: Evidence
    lives: Sequence[Life]
    windows: Sequence[Window]
    again: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    of_kill: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By process that was killed: nodes that ran again, and nodes that were in flight."""
    overlaps: int = 0
    woken: list[Execution] = field(default_factory=list)
    """Node executions that were begun by a process that had just been woken, of a run that it had lost."""

    def __post_init__(self) -> None:
        self._over = ends(self.executions, self.lives)
        self._life = {life.pid: life for life in self.lives}
        self._of_run: dict[str, list[Execution]] = defaultdict(list)
        for one in self.executions:
            self._of_run[one.logical_run].append(one)

    def verdicts(self) -> Iterator[Violation]:
        yield from self._repeated()
        yield from self._overlapping()
        yield from self._forked()
        yield from self._trails()
        yield from self._after_the_end()

    # ---- what is durable is not done again ----

    def _repeated(self) -> Iterator[Violation]:
        places: dict[tuple[str, int], list[Execution]] = defaultdict(list)
        for one in self.executions:
            if self._is_of_the_woken(one):
                self.woken.append(one)
            else:
                places[one.place].append(one)
        again: dict[int, int] = defaultdict(int)
        for place, executions in places.items():
            durable = self.evidence.durable.get(place)
            for before, one in pairwise(executions):
                if durable is not None and one.began > durable:
                    text = f"{one.node} began {one.began - durable:.3f} s after it was durable, in process {one.pid}"
                    yield Violation("no durable node runs again", one.correlation_id, text)
                reason = self._why(before)
                if reason is None:
                    text = f"{one.node} ran again in process {one.pid}, and nothing had struck {before.pid}"
                    yield Violation("only what was in flight runs again", one.correlation_id, text)
                    continue
                self.again[reason] += 1
                if reason == Kind.KILL.value:
                    again[before.pid] += 1
        yield from self._at_most_in_flight(again)

    def _is_of_the_woken(self, one: Execution) -> bool:
        """It has just been woken, and meanwhile another process has begun to work for the same run, or its end came."""
        for since, until in self._life[one.pid].suspended:
            if until <= one.began <= until + _WAKING_SECONDS:
                row = self.evidence.runs[one.correlation_id]
                others = (other for other in self._of_run[one.logical_run] if other.pid != one.pid)
                return seconds(row["finished_at"]) < one.began or any(
                    since < other.began < one.began for other in others
                )
        return False

    def _at_most_in_flight(self, again: dict[int, int]) -> Iterator[Violation]:
        for life in self.lives:
            if life.killed_at is None:
                continue
            in_flight = sum(one.pid == life.pid and self._in_flight(one, life) for one in self.executions)
            self.of_kill[life.pid] = again[life.pid], in_flight
            if again[life.pid] > in_flight:
                text = f"process {life.pid}: {again[life.pid]} nodes ran again, {in_flight} were in flight"
                yield Violation("re-runs are at most the nodes in flight", None, text)

    def _in_flight(self, one: Execution, life: Life) -> bool:
        """Begun, and not durable yet when its process was killed."""
        durable = self.evidence.durable.get(one.place)
        return life.killed_at is not None and not one.is_cut and (durable is None or durable > life.killed_at)

    def _why(self, one: Execution) -> str | None:
        """What kept an execution from becoming durable."""
        life, over = self._life[one.pid], self._over[one.name]
        row, durable = self.evidence.runs[one.correlation_id], self.evidence.durable.get(one.place)
        for since, until in life.suspended:
            if (
                one.began <= until + _WAKING_SECONDS
                and since <= over + _WAKING_SECONDS
                and (durable is None or durable > since)
            ):
                return Kind.SUSPEND.value
        if row["result_status"] == "cancelled" and (durable is None or durable > seconds(row["finished_at"])):
            return "ended from outside"
        for window in self.windows:
            is_store = window.fault.kind is Kind.STORE
            if is_store and one.began <= window.until and window.since <= over + _RECOVERY_SECONDS:
                return Kind.STORE.value
        if self._in_flight(one, life):
            return Kind.KILL.value
        return None

    # ---- one writer at a time ----

    def _overlapping(self) -> Iterator[Violation]:
        threads: dict[str, list[Execution]] = defaultdict(list)
        for one in self.executions:
            threads[one.thread].append(one)
        for executions in threads.values():
            latest: Execution | None = None
            for one in executions:
                if latest is not None and one.began < self._over[latest.name]:
                    self.overlaps += 1
                    if not self._could_not_know(latest, one):
                        yield Violation("no thread has two writers", one.correlation_id, self._both(latest, one))
                if latest is None or self._over[one.name] > self._over[latest.name]:
                    latest = one

    def _could_not_know(self, older: Execution, newer: Execution) -> bool:
        if self._is_of_the_woken(newer):
            return True
        over = self._over[older.name]
        for since, until in self._life[older.pid].suspended:
            # The last renewal may lie one period before the stop.
            if (
                older.began <= until + _WAKING_SECONDS
                and since <= over
                and newer.began >= since + LEASE_SECONDS - RENEW_SECONDS - 1
            ):
                return True
        return False

    def _both(self, older: Execution, newer: Execution) -> str:
        left = self._over[older.name] - newer.began
        return (
            f"{newer.node} of {newer.correlation_id} began in process {newer.pid} {left:.3f} s before {older.node} of "
            f"{older.correlation_id} was over in process {older.pid}"
        )

    def _forked(self) -> Iterator[Violation]:
        rule = "no thread has two writers"
        for thread, chain in self.evidence.chains.items():
            for before, one in pairwise(chain):
                if one.parent != before.id:
                    text = f"thread {thread}: checkpoint {one.id} (step {one.step}) goes on from {one.parent}"
                    yield Violation(rule, None, f"{text}, not from {before.id} (step {before.step})")

    def _trails(self) -> Iterator[Violation]:
        known = {one.name: one for one in self.executions}
        for request_id, messages in self.evidence.results.items():
            state = json.loads(messages[0].value() or b"{}").get("result")
            names = [entry.partition(":")[2] for entry in (state or {}).get("trail", ())]
            strange = [name for name in names if name not in known or known[name].ended is None or known[name].is_cut]
            if strange:
                yield Violation("a state is of executions that ended", request_id, f"{strange} did not")
                continue
            own = self.evidence.runs.get(request_id, {}).get("logical_run")
            if any(known[name].logical_run != own for name in names[-len(NODES) :]):
                yield Violation(
                    "a result is of its own logical run", request_id, f"its trail has nodes of others than {own}"
                )
            for before, one in pairwise(names):
                if known[one].began < self._over[before]:
                    yield Violation("no thread has two writers", request_id, self._both(known[before], known[one]))

    # ---- what has ended runs no more ----

    def _after_the_end(self) -> Iterator[Violation]:
        """An owner learns within one renewal that its run was ended from outside, unless it is stopped."""
        for one in self.executions:
            row = self.evidence.runs[one.correlation_id]
            late = one.began - seconds(row["finished_at"])
            if late > RENEW_SECONDS + 1 and not self._was_disturbed(one):
                text = f"{one.node} began {late:.3f} s after the request had ended, in process {one.pid}"
                yield Violation("what has ended runs no more", one.correlation_id, text)

    def _was_disturbed(self, one: Execution) -> bool:
        if any(
            since - LEASE_SECONDS <= one.began <= until + RENEW_SECONDS
            for since, until in self._life[one.pid].suspended
        ):
            return True
        return any(
            window.fault.kind is Kind.STORE and window.since <= one.began <= window.until + _RECOVERY_SECONDS
            for window in self.windows
        )


def longest_pause(executions: Sequence[Execution], over: dict[str, float]) -> tuple[float, UUID | None]:
    """The longest time that a run stood between two of its node executions, and whose it was."""
    runs: dict[str, list[Execution]] = defaultdict(list)
    for one in executions:
        runs[one.logical_run].append(one)
    longest: tuple[float, UUID | None] = (0.0, None)
    for found in runs.values():
        for before, one in pairwise(found):
            pause = one.began - min(over[before.name], one.began)
            if pause > longest[0]:
                longest = (pause, one.correlation_id)
    return longest
