"""Whether the worker repeats a run that an exception of its graph has ended."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from langgraph_worker.checkpoints.saver import RunSaver
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.results import Judged
from langgraph_worker.domain.retry_policy import Attempted, RaisedError, Retried, RetryRules, next_try
from langgraph_worker.execution.error_classes import error_class
from langgraph_worker.execution.exception_facts import related
from langgraph_worker.execution.exception_rules import can_retry_help
from langgraph_worker.execution.retry_after import retry_after
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.execution.superstep_clock import SuperstepClock
from langgraph_worker.telemetry.usage import UsageCounter
from workflow_events.log_words import short_id

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunRetries:
    """Judges the exceptions of one start of a run.

    :param saver: knows whether this start has written a new checkpoint.
    :param usage: knows which models were called.
    :param meter: knows how many supersteps it has begun.
    :param chance: from 0 to 1, so that runs that failed together do not return together.
    """

    claim: Claim
    rules: RetryRules
    saver: RunSaver
    usage: UsageCounter
    clock: SuperstepClock
    meter: RunMeter
    chance: Callable[[], float] = random.random

    def judge(self, error: BaseException, now: datetime) -> Judged:
        """Decide what happens after an exception. One that cannot be looked at is final."""
        try:
            model = self.usage.model_that_raised(related(error, with_contexts=True))
            raised = RaisedError(error_class(error), retry_after(error, now), model)
            can_help = can_retry_help(error)
        except BaseException as trouble:  # noqa: BLE001 - of the exception's own code: the run must end all the same
            logger.warning(
                "an exception cannot be classified, and is final: looking at %s raised %s (graph %s, request %s)",
                type(error).__name__,
                type(trouble).__name__,
                self.claim.graph,
                short_id(self.claim.correlation_id),
                extra={"action": "not_classified", "graph": self.claim.graph},
            )
            return Judged(retriable=False)
        decided = next_try(self.rules, raised, self._attempted(error, now), self.chance())
        return Judged(can_help, raised, decided)

    def with_turns(self, turns: Mapping[str, tuple[int, ...]]) -> Retried:
        """What is kept with a run that goes on when these turns come: that is no retry, and counts as none."""
        before = self._retried
        return replace(before, steps=before.steps + self._finished_steps, turns=turns)

    @property
    def _retried(self) -> Retried:
        return self.claim.retried.after_progress if self.saver.has_progressed else self.claim.retried

    @property
    def _finished_steps(self) -> int:
        return max(0, self.meter.steps_here - 1)  # without the superstep that failed, which runs again

    def _attempted(self, error: BaseException, now: datetime) -> Attempted:
        event = self.claim.event
        return Attempted(
            self._retried,
            event.config.model,
            self.clock.ran_out_after(error),
            None if event.deadline is None else (event.deadline - now).total_seconds(),
            self._finished_steps,
        )
