"""What the state machines of the run store share: their database, their choices, how long they run."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from langgraph_worker.errors import RowError
from tests.support.machine_database import MachineDatabase
from tests.support.machines import run
from tests.support.scripted_graph import GRAPHS
from tests.support.store_world import World
from tests.support.world_end import come_to_an_end
from workflow_events.results import ResultStatus

EVERYTHING = 1_000
_MOST_REQUESTS = 25
_T = TypeVar("_T")

refusals = st.sampled_from(["", "", "claim", "end", "expire", "prune", "accept"])
"""What the database refuses in an example: each of it costs a new worker, and many transactions."""
limits = st.sampled_from(
    [{}, {}, {"line": 1}, {"asks": 1, "line": 2, "same": 1}, dict.fromkeys(GRAPHS, 1), dict.fromkeys(GRAPHS, 2)]
)
"""How many runs of graphs may run at once, in an example."""
index = st.integers(0, 5)
"""Which of several, modulo their number."""


def pick(choices: Sequence[_T], number: int) -> _T:
    return choices[number % len(choices)]


def when(condition: Callable[[Any], object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a rule do nothing unless the condition holds.

    Not Hypothesis' precondition: workers that run at the same moment may leave one state or another, and what may be
    drawn next must not depend on it.
    """

    def decorate(rule: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(rule)
        def call(self: Any, **drawn: Any) -> None:
            if condition(self):
                rule(self, **drawn)

        return call

    return decorate


def may_refuse(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a rule be drawn only in the examples in which the database refuses this."""
    return precondition(lambda self: self.refuses == what)


class StoreMachine(RuleBasedStateMachine):
    """A history of one world; each subclass says what may happen in it."""

    database: ClassVar[MachineDatabase]

    def __init__(self) -> None:
        super().__init__()
        self.database.empty()
        self.world = World(self.database)
        self.refuses = ""

    @initialize(what=refusals, max_running=limits)
    def choose(self, what: str, max_running: dict[str, int]) -> None:
        self.refuses = what
        self.database.limit(max_running)

    @rule(priority=st.sampled_from([-200, -1, 0, 0, 1, 2, 200]))
    def publish_with_priority(self, priority: int) -> None:
        self.world.airflow.priority = priority

    @invariant()
    def everything_is_as_it_must_be(self) -> None:
        self.world.look()

    # ---- old checkpoints, and single rows that the database refuses ----

    @rule(client=index)
    def trim(self, client: int) -> None:
        self.world.trim(self.client(client))

    @may_refuse("claim")
    @rule(client=index, which=index)
    @when(lambda self: self.claimants() and self.world.unfinished())
    def claim_beside_a_row_that_is_refused(self, client: int, which: int) -> None:
        """It is set aside; all else that can start is started."""
        bad, at = pick(self.world.unfinished(), which).id, pick(self.claimants(), client)
        before = set(self.world.results)
        with self.world.refusing(bad, "UPDATE"):
            taken = self.world.claim(at, f"w{at}", EVERYTHING)
        assert bad not in {run.id for run in taken}
        ended = set(self.world.results) - before  # given up by the claim: the next on their threads can start now
        again = self.world.claim(at, f"w{at}", EVERYTHING)
        # The row had a place of its graph, which the next run has now.
        others = [run for run in again if run.claim.graph not in self.database.max_running]
        assert ended or not others, "something else was left out"
        self.replace(at)  # another worker looks at it again

    @may_refuse("end")
    @rule(which=st.lists(index, min_size=2, max_size=4, unique=True))
    @when(lambda self: len(self.world.runs) > 1)
    def end_beside_a_row_that_is_refused(self, which: list[int]) -> None:
        picked = {pick(self.world.runs, number)[1].id: pick(self.world.runs, number) for number in which}
        bad = next(iter(picked))
        with self.world.refusing(bad, "UPDATE"):
            self.world.step(list(picked.values()), ResultStatus.FAILURE)
            self.world.look()

    @may_refuse("expire")
    @rule(client=index, which=index)
    @when(lambda self: self.claimants() and self.world.unfinished())
    def expire_beside_a_row_that_is_refused(self, client: int, which: int) -> None:
        bad, at = pick(self.world.unfinished(), which).id, pick(self.claimants(), client)
        with self.world.refusing(bad, "UPDATE"):
            self.world.expire(at)
        assert bad not in self.world.results
        self.replace(at)

    @may_refuse("prune")
    @rule(client=index, which=index)
    @when(lambda self: self.claimants() and self.world.replies)
    def prune_beside_a_row_that_is_refused(self, client: int, which: int) -> None:
        """Only its own lineage waits for it."""
        bad, at = pick(list(self.world.replies), which), pick(self.claimants(), client)
        lineage = self.world.rows[bad]["lineage"]
        self.world.publish(at, acknowledged=True)
        with self.world.refusing(bad, "DELETE"):
            while self.world.prune(at, EVERYTHING):
                pass
        assert bad in self.world.rows
        self.replace(at)
        gone = self.world.prune(at, EVERYTHING)
        assert {row["lineage"] for row in gone.values()} <= {lineage}, "something else was left out"

    @may_refuse("accept")
    @rule(client=index, thread=st.sampled_from(["talk", None]))
    @when(lambda self: self.claimants() and len(self.world.judge.accepted) < _MOST_REQUESTS)
    def accept_beside_a_row_that_is_refused(self, client: int, thread: str | None) -> None:
        """Nothing of the batch is stored; then all of it but that row, one by one; and later that row."""
        at = pick(self.claimants(), client)
        good, bad = self.world.airflow.plain("line", thread), self.world.airflow.plain("line", thread)
        store = self.database.clients[at]
        with self.world.refusing(bad.id, "INSERT"):
            for batch in ([good, bad], [bad]):
                with pytest.raises(RowError):
                    self.world.do(store.accept([asked.request for asked in batch]))
                self.world.see()
            self.world.accept(at, [good])
        self.world.accept(at, [bad])

    def claimants(self) -> list[int]:
        """The clients whose workers take something in and start it now."""
        return list(range(len(self.database.clients)))

    def replace(self, client: int) -> None:
        """A worker's process dies, and another takes its place."""
        self.world.kill(client)

    def teardown(self) -> None:
        # Not behind a failure, which is what is to be seen; nor where Hypothesis gave the example up.
        if sys.exc_info()[0] is None:
            come_to_an_end(self.world)

    def client(self, number: int) -> int:
        return number % len(self.database.clients)

    def deliver_some(self, client: int, keys: Sequence[int]) -> None:
        """A batch: the next records of these keys."""
        batch = []
        for number in keys:
            waiting = self.world.topic.waiting()
            if waiting:
                batch.append(self.world.topic.take(pick(waiting, number)))
        self.world.accept(self.client(client), batch)


def run_machine(machine: type[StoreMachine], database: MachineDatabase, *, examples: int, steps: int = 40) -> None:
    """Run a machine on a database, which is closed then."""
    try:
        run(type(machine.__name__, (machine,), {"database": database}), examples=examples, steps=steps)
    finally:
        database.close()
