"""How every state machine of the suite is run: so many examples in CI, with one seed; more on demand, with new ones."""

from __future__ import annotations

import os
import random
import sys

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

_CI_SEED = 1  # the same examples in each CI run: a merge must not fail for what a longer search would find


def time_limit(seconds: float) -> float:
    """A test's, in seconds: that of CI, or of however many examples are asked for."""
    return max(seconds, int(os.environ.get("STATE_MACHINE_EXAMPLES", 0)) * 2.0)


def run(machine: type[RuleBasedStateMachine], *, examples: int, steps: int) -> None:
    """Run a machine. The seed is printed; CI's is always the same, and CI takes no time to make a failure smaller."""
    default = _CI_SEED if os.environ.get("CI") else random.getrandbits(32)
    chosen = int(os.environ.get("STATE_MACHINE_SEED", default))
    sys.stdout.write(f"{machine.__name__}: STATE_MACHINE_SEED={chosen}\n")
    count = int(os.environ.get("STATE_MACHINE_EXAMPLES", examples))
    run_state_machine_as_test(
        seed(chosen)(machine),
        settings=settings(
            max_examples=count,
            stateful_step_count=steps,
            phases=[Phase.generate] if os.environ.get("CI") else list(Phase),
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
