"""Which errors of a graph the worker repeats by itself, how often, and how long it waits before that: one table.

A run that backs off holds no slot and no lease: it is PENDING with a time, and goes on from its last checkpoint (rule
14). Its counts are in the store, and begin anew once it has written a new checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from workflow_events.log_words import counted, in_seconds


class ErrorClass(StrEnum):
    """What an exception of a graph says about the next try."""

    RATE_LIMIT = "rate_limit"
    """A server takes no more requests for now: HTTP 429."""
    TIMEOUT = "timeout"
    """An answer did not come in time: HTTP 408 and 504 too."""
    CONNECTION = "connection"
    """A server cannot be reached, or the connection broke."""
    SERVER_ERROR = "server_error"
    """A server failed: HTTP 500 and above."""
    CONTEXT_LENGTH = "context_length"
    """The input is longer than the model takes: another model may take it."""
    FINAL = "final"
    """Anything else: the worker does not repeat it. Airflow may, if the result says ``retriable``."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How one class of errors is repeated.

    :param times: how often at most, until the run writes a new checkpoint.
    :param wait_seconds: about how long it waits before the first time; before each further one, twice as long.
    :param max_wait_seconds: the longest of these waits. A server may ask for a longer one.
    :param step_factor: of a superstep that ran into a limit of LangGraph's for all of it: how much of the time that it
        took it gets the next time; 1: as long as it likes.
    """

    times: int
    wait_seconds: float = 0.0
    max_wait_seconds: float = 0.0
    step_factor: float = 1.0

    def wait(self, repeated: int, retry_after: float | None, chance: float) -> float:
        """The wait before the next time, in seconds.

        :param repeated: how often it was repeated before.
        :param retry_after: what the server asks for, in seconds: it is never shortened.
        :param chance: from 0 to 1, so that runs that failed together do not return together: half to one and a half
            times the wait.
        """
        usual = min(self.wait_seconds * 2.0**repeated, self.max_wait_seconds) * (0.5 + chance)
        if retry_after is None:
            return usual
        return max(usual, retry_after + min(self.wait_seconds, retry_after) * chance)


STEP_FACTOR = 0.75
"""How much of its time a superstep that ran into a timeout gets the next time, unless a graph says otherwise."""

SHORTEST_STEP_SECONDS = 5.0
"""No superstep gets less."""

DEFAULT_RULES: Mapping[ErrorClass, RetryRule] = {
    ErrorClass.RATE_LIMIT: RetryRule(5, 4.0, 120.0),
    ErrorClass.TIMEOUT: RetryRule(3, 1.0, 30.0, STEP_FACTOR),
    ErrorClass.CONNECTION: RetryRule(3, 2.0, 60.0),
    ErrorClass.SERVER_ERROR: RetryRule(3, 2.0, 60.0),
    ErrorClass.CONTEXT_LENGTH: RetryRule(1),
}
"""What holds where a graph's entry in ``langgraph.json`` says nothing else. A class without a rule is not repeated."""

LONGEST_WAIT_SECONDS = 7 * 86_400.0
"""No run waits so long: it ends instead. What a server asks for beyond it counts as so long."""


@dataclass(frozen=True, slots=True)
class RetryRules:
    """The rules of one graph.

    :param rules: by class.
    :param fallback_model: with which a run goes on whose input is too long for its model; None: there is none.
    """

    rules: Mapping[ErrorClass, RetryRule] = field(default_factory=lambda: DEFAULT_RULES)
    fallback_model: str | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """What a run has repeated.

    :param times: by class, since its last new checkpoint.
    :param step_seconds: how long its next superstep may take, because the same one ran into a timeout; None: as long as
        its graph lets it.
    :param model: the model that it goes on with, because its input was too long for the one before; None: its own.
    :param steps: supersteps that its starts before have finished: they count for its recursion limit.
    :param turns: the slots of the turns that its calls of limited models have ahead, by model.
    """

    times: Mapping[ErrorClass, int] = field(default_factory=dict)
    step_seconds: float | None = None
    model: str | None = None
    steps: int = 0
    turns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != Retried()

    @property
    def after_progress(self) -> Retried:
        """The same, once the run has come further: what is left is its model, and its supersteps."""
        return Retried(model=self.model, steps=self.steps)

    def as_json(self) -> dict[str, Any] | None:
        """As the run store keeps it; None if nothing was repeated."""
        if not self:
            return None
        times = {kind.value: count for kind, count in self.times.items()}
        kept = {"times": times, "step_seconds": self.step_seconds, "model": self.model, "steps": self.steps}
        return kept | ({"turns": {model: list(slots) for model, slots in self.turns.items()}} if self.turns else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Retried:
        """From the run store. A class of a newer version is left out."""
        kept = value or {}
        known = {kind.value: kind for kind in ErrorClass}
        times = {known[name]: count for name, count in (kept.get("times") or {}).items() if name in known}
        turns = {model: tuple(slots) for model, slots in (kept.get("turns") or {}).items()}
        return cls(times, kept.get("step_seconds"), kept.get("model"), kept.get("steps") or 0, turns)


@dataclass(frozen=True, slots=True)
class RaisedError:
    """An exception of a graph, as the rules see it.

    :param error_class: its class.
    :param retry_after: how long its server asks to wait, in seconds; None: it does not say.
    :param model: whose call raised it; None: none did, or it is not known.
    """

    error_class: ErrorClass
    retry_after: float | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class BackOff:
    """The run waits, and goes on.

    :param wait_seconds: from now.
    :param retried: what it has repeated by then.
    """

    error_class: ErrorClass
    wait_seconds: float
    retried: Retried

    @property
    def words(self) -> str:
        """``rate_limit, retry 2``; ``context_length, with model 'large'``."""
        kind = self.error_class
        how = f"retry {self.retried.times[kind]}"
        if kind is ErrorClass.CONTEXT_LENGTH:
            how = f"with model {self.retried.model!r}"
        return f"{kind.value}, {how}"


@dataclass(frozen=True, slots=True)
class NoRetry:
    """The run ends.

    :param reason: what the worker did or did not do about it, for the error's text; may be empty.
    :param wait_seconds: after which it may be tried again by someone else, such as Airflow; None: there is no rule.
    """

    reason: str = ""
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """The start of a run that an exception has ended.

    :param retried: what was repeated before it; without the counts if it has written a new checkpoint.
    :param asked_model: the model that its event asks for, if it does.
    :param step_seconds: how long the superstep took, if it ran into a limit of all of it; None: it did not.
    :param seconds_left: until the deadline; None: there is none.
    :param steps: supersteps that it has finished.
    """

    retried: Retried = field(default_factory=Retried)
    asked_model: str | None = None
    step_seconds: float | None = None
    seconds_left: float | None = None
    steps: int = 0

    @property
    def all_steps(self) -> int:
        """Supersteps of this start and of those before."""
        return self.retried.steps + self.steps


def next_try(rules: RetryRules, raised: RaisedError, attempted: Attempted, chance: float) -> BackOff | NoRetry:
    """Decide whether a run is repeated.

    :param chance: from 0 to 1, see :meth:`RetryRule.wait`.
    """
    kind, retried = raised.error_class, attempted.retried
    rule = rules.rules.get(kind)
    if rule is None:
        return NoRetry(wait_seconds=raised.retry_after)
    if kind is ErrorClass.CONTEXT_LENGTH:
        return _other_model(rules.fallback_model, attempted)
    repeated = retried.times.get(kind, 0)
    wait = rule.wait(repeated, raised.retry_after, chance)
    if repeated >= rule.times:
        said = f"the worker has repeated it {counted(repeated, 'time')} ({kind.value})" if repeated else ""
        # Where the graph wants no retry the worker invents no wait: the task has one of its own.
        return NoRetry(said, wait if rule.times else raised.retry_after)
    too_long = _too_long(wait, raised, attempted)
    if too_long:
        return NoRetry(too_long, wait)
    step = retried.step_seconds
    if rule.step_factor < 1 and attempted.step_seconds is not None:
        step = max(attempted.step_seconds * rule.step_factor, SHORTEST_STEP_SECONDS)
    times = {**retried.times, kind: repeated + 1}
    return BackOff(kind, wait, replace(retried, times=times, step_seconds=step, steps=attempted.all_steps, turns={}))


def _too_long(wait: float, raised: RaisedError, attempted: Attempted) -> str:
    """Why a wait is not begun; empty if it is."""
    asks = "its server asks to wait" if raised.retry_after is not None else "the next try would start after"
    if wait >= LONGEST_WAIT_SECONDS:
        days = counted(round(LONGEST_WAIT_SECONDS / 86_400), "day")
        return f"{asks} {days} or longer ({raised.error_class.value}), and no run waits so long"
    if attempted.seconds_left is not None and wait >= attempted.seconds_left:
        return f"{asks} {in_seconds(wait)} ({raised.error_class.value}), and the deadline is sooner"
    return ""


def _other_model(model: str | None, attempted: Attempted) -> BackOff | NoRetry:
    """Go on with a model that takes more, unless it was that one."""
    kind, retried = ErrorClass.CONTEXT_LENGTH, attempted.retried
    if model is None:
        return NoRetry(
            f"the worker knows no model that takes more ({kind.value}): name one in 'retries.context_length.model' of "
            "the graph's entry in langgraph.json, or in LANGGRAPH_WORKER_FALLBACK_MODEL"
        )
    if model in (retried.model, attempted.asked_model):
        return NoRetry(f"it is too long for {model!r}, the model that takes most ({kind.value})")
    times = {**retried.times, kind: retried.times.get(kind, 0) + 1}
    return BackOff(kind, 0.0, replace(retried, times=times, model=model, steps=attempted.all_steps, turns={}))
