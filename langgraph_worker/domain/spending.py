"""What a logical run has spent, over all its attempts, takeovers and rounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from workflow_events.models import MOST_COUNTED
from workflow_events.results import ModelUsage

MOST_MARKS = 2_000
"""How many messages a run store remembers as counted. A run with more remembers none."""

COUNTS = tuple(name for name in ModelUsage.model_fields if name != "cost_usd")
"""The fields of a model's usage that are whole numbers."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What is counted of a logical run.

    :param usage: by model name.
    :param steps: supersteps of its own graph that began.
    :param seconds: how long it ran, without the time in which it waited.
    :param marks: of the messages whose usage is in ``usage``, or that were there before the run: the next owner counts
        what its checkpoints hold and this does not. None: there were too many to remember.
    :param unreported: the models of which a call did not say how many tokens it took.
    """

    usage: Mapping[str, ModelUsage] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    marks: frozenset[str] | None = frozenset()
    unreported: frozenset[str] = frozenset()

    @property
    def tokens(self) -> int:
        """Of all models."""
        return sum(used.total_tokens for used in self.usage.values())

    @property
    def cost_usd(self) -> float:
        """Of the models whose price is known."""
        return sum(used.cost_usd or 0.0 for used in self.usage.values())

    @property
    def unpriced(self) -> frozenset[str]:
        """The models of which the price of a call is not known."""
        return frozenset(model for model, used in self.usage.items() if used.cost_usd is None)

    def with_call(self, model: str, used: ModelUsage, *, is_reported: bool = True) -> Spending:
        """The same, and what one call of a model spent.

        :param is_reported: whether it said how many tokens it took.
        """
        before = self.usage.get(model)
        usage = {**self.usage, model: used if before is None else sum_of(before, used)}
        return replace(self, usage=usage, unreported=self.unreported if is_reported else self.unreported | {model})

    def with_marks(self, marks: Iterable[str]) -> Spending:
        """The same, and messages that are counted."""
        if self.marks is None:
            return self
        known = self.marks.union(marks)
        return replace(self, marks=known if len(known) <= MOST_MARKS else None)


def mark_of(message_id: str) -> str:
    """What a run store keeps of a message's id, which may be anything."""
    return hashlib.blake2s(message_id.encode(errors="replace"), digest_size=6).hexdigest()


def sum_of(one: ModelUsage, other: ModelUsage) -> ModelUsage:
    """What two calls spent together. Its cost is known only if both are."""
    counts = {name: min(getattr(one, name) + getattr(other, name), MOST_COUNTED) for name in COUNTS}
    costs = None if one.cost_usd is None or other.cost_usd is None else one.cost_usd + other.cost_usd
    return ModelUsage(**counts, cost_usd=costs)


def usage_since(before: Mapping[str, ModelUsage], now: Mapping[str, ModelUsage]) -> dict[str, ModelUsage]:
    """What was spent between two counts, by model. A cost is None where one of the two is not known."""
    found = {}
    for model, used in now.items():
        old = before.get(model, ModelUsage(cost_usd=0.0))
        counts = {name: max(0, getattr(used, name) - getattr(old, name)) for name in COUNTS}
        cost = None if used.cost_usd is None or old.cost_usd is None else max(0.0, used.cost_usd - old.cost_usd)
        found[model] = ModelUsage(**counts, cost_usd=cost)
    return found
