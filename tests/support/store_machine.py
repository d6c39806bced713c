"""What the state machines of the run store share: their database, their choices, how long they run."""

from __future__ import annotations

import functools
import os
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from tests.support.machine_database import MachineDatabase
from tests.support.store_world import World
from tests.support.world_end import come_to_an_end

_CI_SEED = 1  # whoever merges something is not to meet what a longer hunt would find
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


def time_limit(seconds: float) -> float:
    """A test's, in seconds: that of CI, or of however many examples are asked for."""
    return max(seconds, int(os.environ.get("STATE_MACHINE_EXAMPLES", 0)) * 2.0)


def run_machine(machine: type[StoreMachine], database: MachineDatabase, *, examples: int) -> None:
    """Run a machine on a database, which is closed then. The seed is printed; CI's is always the same."""
    default = _CI_SEED if os.environ.get("CI") else random.getrandbits(32)
    chosen = int(os.environ.get("STATE_MACHINE_SEED", default))
    sys.stdout.write(f"{machine.__name__}: STATE_MACHINE_SEED={chosen}\n")
    bound = type(machine.__name__, (machine,), {"database": database})
    count = int(os.environ.get("STATE_MACHINE_EXAMPLES", examples))
    try:
        run_state_machine_as_test(
            seed(chosen)(bound),
            settings=settings(
                max_examples=count,
                stateful_step_count=_STEPS,
                deadline=None,
                print_blob=True,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            ),
        )
    finally:
        database.close()
