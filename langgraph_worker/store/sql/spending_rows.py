"""What runs have spent, as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from langgraph_worker.domain.accounts import Count
from langgraph_worker.domain.spending import Spending
from langgraph_worker.store.sql.rows import Row
from workflow_events.results import ModelUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingRow(Row):
    """What a logical run has spent.

    :param usage: by model name, the fields of its usage.
    :param unreported, marks: see :class:`~langgraph_worker.domain.spending.Spending`.
    """

    lineage: str
    generation: int
    steps: int
    seconds: float
    usage: dict[str, dict[str, Any]]
    unreported: list[str] | None
    marks: list[str] | None
    updated_at: datetime

    @property
    def spending(self) -> Spending:
        """What is counted of it."""
        return _spending(self.steps, self.seconds, self.usage, self.unreported, self.marks)


def spending_or_none(
    steps: int | None,
    seconds: float | None,
    usage: Mapping[str, Any] | None,
    unreported: Iterable[str] | None,
    marks: Iterable[str] | None,
) -> Spending | None:
    """What the columns of a logical run's spending say; None: it has no row."""
    if steps is None or seconds is None or usage is None:
        return None
    return _spending(steps, seconds, usage, unreported, marks)


def _spending(
    steps: int,
    seconds: float,
    usage: Mapping[str, Any],
    unreported: Iterable[str] | None,
    marks: Iterable[str] | None,
) -> Spending:
    counted = None if marks is None else frozenset(marks)
    by_model = {model: ModelUsage.model_validate(used) for model, used in usage.items()}
    return Spending(by_model, steps, seconds, counted, frozenset(unreported or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSpendingRow(Row):
    """What one worker has added to an account.

    :param day: of a day's account, as 2027-01-31; else empty.
    :param unpriced, unreported: one of the models; None: there is none.
    """

    kind: str
    name: str
    day: str
    worker_id: str
    tokens: int
    cost_usd: float
    steps: int
    seconds: float
    unpriced: str | None
    unreported: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCountRow(Row):
    """What all workers have added to an account; and beside it, a logical run's own row. Each may be missing."""

    kind: str | None
    name: str | None
    tokens: int | None
    cost_usd: float | None
    steps: int | None
    seconds: float | None
    unpriced: str | None
    unreported: str | None
    own_steps: int | None
    own_seconds: float | None
    own_usage: dict[str, dict[str, Any]] | None
    own_unreported: list[str] | None
    own_marks: list[str] | None

    @property
    def count(self) -> Count:
        """What was spent together. A database adds whole numbers up to decimal ones."""
        unpriced, unreported = (frozenset({one} if one else ()) for one in (self.unpriced, self.unreported))
        numbers = int(self.tokens or 0), float(self.cost_usd or 0), int(self.steps or 0), float(self.seconds or 0)
        return Count(*numbers, unpriced, unreported)

    @property
    def own(self) -> Spending | None:
        """What is stored of the logical run; None: nothing."""
        return spending_or_none(self.own_steps, self.own_seconds, self.own_usage, self.own_unreported, self.own_marks)
