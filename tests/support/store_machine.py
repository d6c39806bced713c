"""What the state machines of the run store share: their database, their choices, how long they run."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.support.machine_database import MachineDatabase
from tests.support.machines import run
from tests.support.store_world import World
from tests.support.world_end import come_to_an_end

_STEPS = 40
_T = TypeVar("_T")

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


class StoreMachine(RuleBasedStateMachine):
    """A history of one world; whoever derives from it says what may happen."""

    database: ClassVar[MachineDatabase]

    def __init__(self) -> None:
        super().__init__()
        self.database.empty()
        self.world = World(self.database)

    @invariant()
    def everything_is_as_it_must_be(self) -> None:
        self.world.look()

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


def run_machine(machine: type[StoreMachine], database: MachineDatabase, *, examples: int) -> None:
    """Run a machine on a database, which is closed then."""
    try:
        run(type(machine.__name__, (machine,), {"database": database}), examples=examples, steps=_STEPS)
    finally:
        database.close()
