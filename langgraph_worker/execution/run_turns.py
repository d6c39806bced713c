"""The turns that the calls of one start of a run wait for: a short wait in place, a long one without a slot.

A run that backs off is PENDING with a time, and keeps its turns: it holds no slot of a worker, and loses no place in
the queue (rule 14).
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from langchain_core.outputs import LLMResult
from langgraph.runtime import RunControl

from langgraph_worker.domain.model_turns import LONGEST_COOLING_SECONDS, ModelLimit, TurnWait
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.retry_policy import DEFAULT_RULES, ErrorClass, RetryRules
from langgraph_worker.errors import BlockingCallError, StoreError
from langgraph_worker.execution.error_classes import error_class
from langgraph_worker.execution.retry_after import retry_after
from langgraph_worker.execution.turn_queue import Turn, TurnQueue
from langgraph_worker.execution.waiting_calls import CallStoppedError, Wait
from langgraph_worker.telemetry.usage import NO_NAME, CalledModel, call_in
from workflow_events.log_words import in_seconds, short_id

logger = logging.getLogger(__name__)

SHORT_SECONDS = 30.0
"""A call waits in its place for so long in all, however often its model takes no calls again."""
WORTH_SECONDS = 15.0
"""For less than this no run gives its place back: it starts its node again afterwards. But it does, once it has waited
for longer than it took to come to the call.
"""
LEAD_SECONDS = 3.0
"""So long before its turn a run goes on, and in addition as long as it took to come to the call, at most:"""
MOST_LEAD_SECONDS = 60.0
_LOOK_SECONDS = 0.2  # whether the run is to stop
_BLOCKING_SECONDS = 1.0  # for which a synchronous call may hold an event loop up
_BLOCKING_LEAD_SECONDS = 0.5  # so long before its turn such a call is to come again
_SPREAD_SECONDS = 2.0  # over which calls come back to a model that was cooling


Tasks = tuple[str, ...]
"""Ids of LangGraph's tasks, the outermost first: of a node, and of the nodes of graphs inside of it."""


@dataclass(slots=True)
class _Waiting:
    """A call that waits.

    :param tasks: of LangGraph's, in which it is made.
    :param since: when it began to wait, its earlier turns included.
    :param turn: None: only until the model takes calls again.
    """

    model: str
    limit: ModelLimit | None
    tasks: Tasks
    since: float
    until: float = 0.0
    turn: Turn | None = None


class RunTurns:
    """Belongs to one start of a run. Safe in every thread.

    :param control: whether the run is to stop.
    :param rules: how long the run waits after a 429 that does not say it.
    :ivar wait: for what the run gives its place back; None: it does not.
    :ivar is_drained: calls were not made, because the run is to stop.
    :ivar trouble: why no turn could be had; a node may have caught it (rule 19).
    """

    def __init__(
        self,
        queue: TurnQueue,
        claim: Claim,
        control: RunControl,
        rules: RetryRules | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._claim = claim
        self._control = control
        self._rules = rules or RetryRules()
        self._chance = chance
        self._started_at = queue.now()
        self._held = {model: sorted(slots) for model, slots in claim.retried.turns.items()}
        self._lock = threading.RLock()
        self._asking = 0
        self._waiting: dict[UUID, _Waiting] = {}
        self._under_way: dict[UUID, tuple[str, CalledModel]] = {}
        self._paid: dict[UUID, tuple[str, ...]] = {}  # calls whose answers are in no checkpoint yet: their tasks
        self._logged: set[str] = set()
        self._is_over = False
        self.wait: TurnWait | None = None
        self.is_drained = False
        self.trouble: StoreError | None = None

    # ---- before a call ----

    def take(self, call: UUID, model: CalledModel, tasks: Tasks = (), *, in_loop: bool) -> Wait[float]:
        """Wait for the turn of a call; how many seconds it has waited. 0: it need not look at anything again.

        :param tasks: in which the call is made.
        :param in_loop: a synchronous call that holds an event loop up: it does not wait for long.
        :raises BlockingCallError: it would have to.
        :raises CallStoppedError: the run stops.
        """
        name, limit = self._name(model), self._queue.limits.of(model.name or NO_NAME, model.provider)
        began = self._queue.now()
        if limit is None and (read := self._queue.catch_up()) is not None:
            yield read
        while True:
            waiting = _Waiting(name, limit, tasks, began)
            if limit is not None:
                waiting.turn = yield from self._ask(name, limit)
                waiting.until = waiting.turn.begins_at
            elif (left := self._queue.cooling(name)) > 0:
                waiting.until = self._queue.now() + left + self._chance() * min(left, _SPREAD_SECONDS)
            with self._lock:
                self._waiting[call] = waiting
            yield from self._until(call, waiting, in_loop=in_loop)
            if self._queue.cooling(name) <= 0 and self.is_in_time(call):
                waited = self._queue.now() - began
                return waited if waiting.until > began else 0.0
            if not self.is_in_time(call):
                self._log_missed(name)
            self.give_back(call)

    def _ask(self, name: str, limit: ModelLimit) -> Wait[Turn]:
        held = self._held.get(name)
        self._asking += 1
        asked = self._queue.ask(name, limit, held.pop(0) if held else None)
        received = False
        try:
            turn: Turn = yield asked
            received = True
        except StoreError as error:
            self.trouble = error
            raise
        finally:
            self._asking -= 1
            if not received and not asked.cancel():
                asked.add_done_callback(lambda done: self._return_unclaimed(name, limit, done))
        return turn

    def _return_unclaimed(self, name: str, limit: ModelLimit, done: Any) -> None:
        if not done.cancelled() and done.exception() is None and not done.result().is_held:
            self._queue.give_back(name, limit, done.result().slot)

    def _until(self, call: UUID, waiting: _Waiting, *, in_loop: bool) -> Wait[None]:
        try:
            while (left := waiting.until - self._queue.now()) > 0:
                self._stop_if_asked()
                self._log(waiting, left)
                at_once = in_loop and left > _BLOCKING_SECONDS
                if at_once:
                    self._require_first(waiting, left)
                if self._leaves(at_once=at_once):
                    raise CallStoppedError("the run backs off")
                yield min(left, _LOOK_SECONDS)
            if self.wait is not None:
                raise CallStoppedError("the run backs off")
        except BaseException:
            self.give_back(call)
            raise

    def _stop_if_asked(self) -> None:
        if self._control.drain_requested:
            self.is_drained = True
            raise CallStoppedError("the run stops")
        if self._is_over:
            raise CallStoppedError("the run is over")

    def _require_first(self, waiting: _Waiting, left: float) -> None:
        with self._lock:
            answered = any(tasks[-1] in waiting.tasks for tasks in self._paid.values())
        if answered:
            raise BlockingCallError(
                f"model {waiting.model} has to wait {in_seconds(left)} for its turn, and an asynchronous node called "
                "it by a synchronous method, which would hold up all runs of the worker. The node has called a model "
                "before: to begin it again would pay for that again. Await ainvoke() or astream(), or write the node "
                "as a plain function"
            )

    def _leaves(self, *, at_once: bool) -> bool:
        """Whether the run gives its place back: nothing of it is under way, or would be paid again, and all its calls
        wait for long.

        :param at_once: it may not wait in any case.
        """
        with self._lock:
            if self.wait is not None:
                return True
            if not at_once and (self._asking or self._under_way or self._paid):
                return False
            now = self._queue.now()
            first = min(self._waiting.values(), key=lambda waiting: waiting.until)
            left, waited = first.until - now, now - first.since
            came = min(first.since - self._started_at, MOST_LEAD_SECONDS)
            away = left - came - (_BLOCKING_LEAD_SECONDS if at_once else LEAD_SECONDS)  # so that it comes in time
            is_worth = at_once or away >= WORTH_SECONDS
            if not at_once and (waited + left <= SHORT_SECONDS or (not is_worth and waited <= came)):
                return False
            self.wait = TurnWait(first.model, max(0.0, away if is_worth else left), self._kept())
            self._waiting.clear()  # so that no turn is given back
            return True

    def _kept(self) -> dict[str, tuple[int, ...]]:
        turns = {model: tuple(slots) for model, slots in self._held.items() if slots}
        for one in self._waiting.values():
            if one.turn is not None:
                turns[one.model] = (*turns.get(one.model, ()), one.turn.slot)
        return turns

    def is_in_time(self, call: UUID) -> bool:
        """Whether a call that has its turn may be sent now."""
        waiting = self._waiting.get(call)
        return waiting is not None and (waiting.turn is None or self._queue.now() <= waiting.turn.late_at)

    def give_back(self, call: UUID) -> None:
        """A call is not sent."""
        with self._lock:
            waiting = self._waiting.pop(call, None)
        if waiting is not None and waiting.limit is not None and waiting.turn is not None and not waiting.turn.is_held:
            self._queue.give_back(waiting.model, waiting.limit, waiting.turn.slot)

    def _log_missed(self, name: str) -> None:
        text = "a call of model %s comes too late for its turn, and takes another one (graph %s, request %s)"
        request, about = short_id(self._claim.correlation_id), self._about("turn_missed", name)
        logger.info(text, name, self._claim.graph, request, extra=about)

    def _log(self, waiting: _Waiting, left: float) -> None:
        if waiting.model in self._logged:
            return
        self._logged.add(waiting.model)
        why = "its provider takes no calls" if waiting.limit is None else waiting.limit.words
        text = "a call of model %s waits %s for its turn: %s (graph %s, request %s)"
        request = short_id(self._claim.correlation_id)
        about = self._about("waits_for_turn", waiting.model)
        logger.info(text, waiting.model, in_seconds(left), why, self._claim.graph, request, extra=about)

    def _about(self, action: str, model: str) -> dict[str, str]:
        return {"action": action, "correlation_id": str(self._claim.correlation_id), "model": model}

    # ---- a call, and after it ----

    def begin(self, call: UUID, model: CalledModel, waited: float, tasks: Tasks = ()) -> None:
        """A call is sent.

        :param tasks: in which it is made.
        """
        name = self._name(model)
        with self._lock:
            self._waiting.pop(call, None)
            self._under_way[call] = (name, model)
            if tasks:
                self._paid[call] = tasks
        if waited:
            self._queue.metrics.waited_for_turn(name, waited)

    def end(self, call: UUID, response: LLMResult) -> None:
        """A call has come back."""
        name, model = self._under_way.pop(call, (None, None))
        if name is None or model is None:
            return
        limit = self._queue.limits.of(model.name or NO_NAME, model.provider)
        if limit is None and self._queue.is_new_without_limit(name):
            self._warn_if_meant(name, model, call_in(response, model).model)
        if limit is not None and limit.tokens is not None:
            self._queue.answered(name, limit, call_in(response, model).used.total_tokens)

    def _warn_if_meant(self, name: str, model: CalledModel, answered: str) -> None:
        meant = self._queue.limits.meant(model.name or NO_NAME, model.provider, answered)
        if meant is not None:
            logger.warning(
                "model %s has no limit: langgraph.json has one for %r, which is not the name that graph %s asks for. "
                "Name it %r there",
                name,
                meant,
                self._claim.graph,
                name,
                extra=self._about("limit_of_another_name", name),
            )

    def fail(self, call: UUID, error: BaseException, response: Any = None) -> None:
        """A call has failed, or its node has left it: then it has answered. A 429 holds back the calls of all runs."""
        if isinstance(error, GeneratorExit):
            self.end(call, response if isinstance(response, LLMResult) else LLMResult(generations=[]))
            return
        name, _ = self._under_way.pop(call, (None, None))
        self._paid.pop(call, None)
        if name is None:
            return
        with suppress(Exception):  # of the exception's own code
            if error_class(error) is ErrorClass.RATE_LIMIT:
                self._queue.metrics.rate_limited(name)
                self._queue.refused(name, self._seconds(error))

    def finished(self, task: str) -> None:
        """What this task of LangGraph's has put out is durable: the calls in it, at every depth, are not made again."""
        with self._lock:
            self._paid = {call: tasks for call, tasks in self._paid.items() if task not in tasks}

    def _seconds(self, error: BaseException) -> float:
        rule = self._rules.rules.get(ErrorClass.RATE_LIMIT) or DEFAULT_RULES[ErrorClass.RATE_LIMIT]
        times = self._claim.retried.times.get(ErrorClass.RATE_LIMIT, 0)
        asked = retry_after(error, datetime.now(UTC))
        return min(LONGEST_COOLING_SECONDS, asked if asked is not None else rule.wait(times, None, 0.5))

    def close(self) -> None:
        """The run is over."""
        self._is_over = True

    @staticmethod
    def _name(model: CalledModel) -> str:
        name = model.name or NO_NAME
        return name if model.provider is None else f"{model.provider}:{name}"
