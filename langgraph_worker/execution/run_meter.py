"""What one run spends, compared with what it may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from langgraph_worker.domain import faults
from langgraph_worker.domain.budgets import Limits
from langgraph_worker.domain.spending import Spending, mark_of, usage_since
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.execution.shared_budget import SharedBudget
from langgraph_worker.execution.waiting_calls import Wait
from langgraph_worker.telemetry.prices import is_known, price_list
from langgraph_worker.telemetry.usage import CalledModel, ModelCall
from workflow_events.results import ModelUsage

_WRITE_EVERY_SECONDS = 10.0
_TIMER_SECONDS = 0.001  # by which a timer may be early
_NOT_INSTALLED = "install the extra of the worker that has the prices: pip install 'airflow-provider-langgraph[cost]'"


class BudgetExceededError(RunFaultError, RuntimeError):
    """A model is not called, because its run has no budget for it.

    A RuntimeError: LangGraph's default retry policy does not repeat the node.
    """

    def __init__(self, text: str) -> None:
        super().__init__(faults.BUDGET_EXCEEDED, text)


class RunMeter:
    """Counts on from what a logical run had spent before this start of it. Safe in every thread.

    :param spent: what is counted of the starts before; None: nothing.
    :param limits: what the logical run may spend.
    :param now: in seconds, of a clock that never goes back.
    :param shared: what its accounts may spend; None: they have no limits.
    """

    def __init__(
        self,
        spent: Spending | None,
        limits: Limits | None = None,
        now: Callable[[], float] = time.monotonic,
        shared: SharedBudget | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.shared = shared
        self._lock = threading.Lock()
        self._spent = spent or Spending()
        self._before, self._steps_before = self._spent.usage, self._spent.steps
        self._now = now
        self._started = now()
        self._uncounted_steps = 0
        self._has_changed = False
        self._on_change: Callable[[], None] = _nothing
        self.refused_tasks: set[str] = set()
        """Of LangGraph's, in which a call was refused: what their nodes made of that is no output of theirs."""
        self.excess: str | None = None
        """Why the run has to end; None while it is within its budget. A node may have caught the exception."""

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self.limits) or self.shared is not None

    @property
    def write_every_seconds(self) -> float | None:
        """How often the count is to be written, even if no node begins or ends."""
        return None if self.limits.seconds is None and self.shared is None else _WRITE_EVERY_SECONDS

    @property
    def has_changed(self) -> bool:
        """Whether there is something to write."""
        return self._has_changed

    def call_on_change(self, wake: Callable[[], None]) -> None:
        """From now on call this, in any thread, when there is something to write."""
        self._on_change = wake

    def total(self) -> Spending:
        """What the logical run has spent by now."""
        with self._lock:
            return replace(self._spent, seconds=self._spent.seconds + self._now() - self._started)

    def used_here(self) -> dict[str, ModelUsage]:
        """What this start of the run has spent by now, by model."""
        return usage_since(self._before, self.total().usage)

    @property
    def steps_here(self) -> int:
        """The supersteps that this start of the run has begun."""
        return self._spent.steps - self._steps_before

    def take(self) -> Spending | None:
        """What is to be written now; None if nothing has changed."""
        if not self._has_changed:
            return None
        self._has_changed = False
        return self.total()

    async def look(self) -> None:
        """Before a superstep: read what the run's accounts have spent.

        :raises StoreError: an error that does not pass by itself.
        """
        if self.shared is not None:
            await self.shared.look()

    def touch(self) -> None:
        """Let the count be written, because time has passed or the run ends."""
        self._has_changed = True
        self._on_change()

    def require_store(self) -> None:
        """:raises StoreError: a call could not be compared with its accounts' limits, and its node caught that."""
        if self.shared is not None and self.shared.trouble is not None:
            raise self.shared.trouble

    def touch_if_limited(self) -> None:
        """Let the count be written, if anything is compared with it: the run goes on later."""
        if self.is_limited:
            self.touch()

    def seconds_left(self) -> float | None:
        """How long the run may go on; None: there is no limit."""
        limit = self.limits.seconds
        return None if limit is None else limit.allowed - self.total().seconds

    def time_is_up(self) -> bool:
        """Whether it has run for as long as it may; then it has to end."""
        left, limit = self.seconds_left(), self.limits.seconds
        if left is None or limit is None or left > _TIMER_SECONDS:
            return False
        self.excess = self.excess or self.limits.over("seconds", limit, limit.allowed - left)
        return True

    def starts_with_input(self) -> None:
        """Do not count the first superstep: LangGraph only reads the input in it."""
        self._uncounted_steps = 1

    def begin_step(self) -> bool:
        """A superstep of the run's own graph is about to begin. True: it must not, and the run ends."""
        if not self.is_limited:
            self._count_step()
            return False
        spent = self.total()
        self.excess = self.excess or self.limits.exceeded(spent)
        if self.shared is not None:
            self.excess = self.excess or self.shared.exceeded(spent)
        if self.excess is None:
            self._count_step()
            self.touch()
        return self.excess is not None

    def _count_step(self) -> None:
        with self._lock:
            if self._uncounted_steps:
                self._uncounted_steps -= 1
            else:
                self._spent = replace(self._spent, steps=self._spent.steps + 1)

    def require_call(self, model: CalledModel) -> Wait[None]:
        """Check that a model may be called now. It waits for the store if accounts have limits.

        :raises BudgetExceededError: it may not. From then on the run has to end.
        """
        self.excess = self.excess or self.limits.used_up(self.total()) or self._unpriced(model)
        if self.shared is not None:
            self.excess = self.excess or (yield from self.shared.used_up(self.total()))
        if self.excess is not None:
            raise BudgetExceededError(self.excess)

    def _unpriced(self, model: CalledModel) -> str | None:
        limits = self._with_cost()
        if limits is None or limits.cost_usd is None:
            return None
        if model.name is not None and is_known(model.name, model.provider):
            return None
        of = f" of provider {model.provider!r}" if model.provider else ""
        which = "a model that does not say its name" if model.name is None else f"model {model.name!r}"
        remedy = "" if price_list() is not None else f"{_NOT_INSTALLED}, or "
        return (
            f"{limits.at}.cost_usd: the price of {which}{of} is not known, so it is not called. To go on, {remedy}"
            f"leave cost_usd out of what {limits.cost_usd.set_by} allows, and limit {limits.at}.tokens"
        )

    def _with_cost(self) -> Limits | None:
        """Limits of which one is of the cost."""
        of_accounts = () if self.shared is None else self.shared.limits.values()
        return next((limits for limits in (self.limits, *of_accounts) if limits.cost_usd is not None), None)

    def count(self, call: ModelCall) -> None:
        """A model has answered."""
        with self._lock:
            marks = () if call.message_id is None else (mark_of(call.message_id),)
            self._spent = self._spent.with_call(call.model, call.used, is_reported=call.is_reported).with_marks(marks)
        self.touch()

    def know(self, message_ids: Iterable[str]) -> None:
        """Messages that were there before the logical run: none of them is its own."""
        marks = [mark_of(one) for one in message_ids]
        if marks:
            with self._lock:
                self._spent = self._spent.with_marks(marks)
            self.touch()

    def recover(self, calls: Iterable[ModelCall]) -> int | None:
        """Count the calls that an earlier owner made and did not count, from the messages of a checkpoint.

        :returns: how many; None if that cannot be told.
        """
        marks = self._spent.marks
        if marks is None:
            return None
        missing = {call.message_id: call for call in calls if call.message_id and mark_of(call.message_id) not in marks}
        for call in missing.values():
            self.count(call)
        return len(missing)


def _nothing() -> None:
    """Nobody writes it."""
