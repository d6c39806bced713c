"""The limits of what is spent, by whom they were set, and what is said of a run that is over one of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from langgraph_worker.domain.accounts import Account, AccountKind
from workflow_events.models import Budget, SpendLimits, WorkflowEvent

Kind = Literal["tokens", "cost_usd", "steps", "seconds"]
"""What a budget limits."""

KINDS: tuple[Kind, ...] = ("tokens", "cost_usd", "steps", "seconds")


class Spent(Protocol):
    """What limits are compared with: of one logical run, or of several runs together."""

    @property
    def tokens(self) -> int:
        """Of all models."""

    @property
    def cost_usd(self) -> float:
        """Of the models whose price is known."""

    @property
    def steps(self) -> int:
        """Supersteps."""

    @property
    def seconds(self) -> float:
        """While running."""

    @property
    def unpriced(self) -> Collection[str]:
        """The models of which the price of a call is not known."""

    @property
    def unreported(self) -> Collection[str]:
        """The models of which a call did not say how many tokens it took."""


@dataclass(frozen=True, slots=True)
class GraphBudget:
    """What the entry of a graph allows.

    :param run: each of its logical runs, and the DAG runs that these belong to.
    :param day: all of them together on one day.
    """

    run: Budget | None = None
    day: SpendLimits | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    :param allowed: how much may be spent.
    :param set_by: what has set it, in words.
    """

    allowed: float
    set_by: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a logical run, or of an account; None: there is none of the kind.

    :param at: where they stand in an event or an entry.
    :param by: who spends, as the end of "... spent"; empty for the run itself.
    """

    tokens: Limit | None = None
    cost_usd: Limit | None = None
    steps: Limit | None = None
    seconds: Limit | None = None
    at: str = "budget"
    by: str = ""

    @classmethod
    def lowest(
        cls, event: SpendLimits | None, graph: SpendLimits | None, name: str, at: str = "budget", by: str = ""
    ) -> Limits:
        """The lower limit of each kind. That of the event counts where both are the same.

        :param graph: of the entry in ``langgraph.json``.
        :param name: of the graph.
        """
        limits = {kind: _lowest(kind, event, graph, name) for kind in KINDS}
        return cls(**limits, at=at, by=by)

    def __bool__(self) -> bool:
        """Whether there is a limit at all."""
        return any(getattr(self, kind) is not None for kind in KINDS)

    def used_up(self, spent: Spent) -> str | None:
        """Why no model may be called any more; None if one may."""
        return (
            self._uncountable(spent)
            or self._reason("tokens", spent.tokens, at=True)
            or self._reason("cost_usd", spent.cost_usd, at=True)
        )

    def exceeded(self, spent: Spent) -> str | None:
        """Why no further superstep may begin; None if one may."""
        return (
            self._uncountable(spent)
            or self._reason("tokens", spent.tokens)
            or self._reason("cost_usd", spent.cost_usd)
            or self._reason("steps", spent.steps, at=True)
            or self._reason("seconds", spent.seconds, at=True)
        )

    def _uncountable(self, spent: Spent) -> str | None:
        """Why a limit cannot be compared with what was spent: what is not known is never taken for nothing."""
        for kind in ("tokens", "cost_usd"):
            limit: Limit | None = getattr(self, kind)
            if limit is not None and spent.unreported:
                return (
                    f"{self.at}.{kind}: model {min(spent.unreported)!r} has not reported its tokens, so they cannot be "
                    "counted. Let it report them (some models: stream_usage=True), or leave "
                    f"{kind} out of what {limit.set_by} allows"
                )
        if self.cost_usd is None or not spent.unpriced:
            return None
        return (
            f"{self.at}.cost_usd: model {min(spent.unpriced)!r} has answered, and its price is not known. Leave "
            f"cost_usd out of what {self.cost_usd.set_by} allows, and limit {self.at}.tokens"
        )

    def _reason(self, kind: Kind, spent: float, *, at: bool = False) -> str | None:
        """:param at: whether to spend exactly what is allowed is too much."""
        limit: Limit | None = getattr(self, kind)
        if limit is None or spent < limit.allowed or (spent == limit.allowed and not at):
            return None
        return self.over(kind, limit, spent)

    def over(self, kind: Kind, limit: Limit, spent: float) -> str:
        """What is said of a run that has reached a limit."""
        return (
            f"{self.at}.{kind}: {_amount(kind, spent)} spent{self.by}, {_amount(kind, limit.allowed)} allowed by "
            f"{limit.set_by}. Allow more there, or let the graph do less; what the run had finished is kept"
        )


def limits_of(event: WorkflowEvent, graph: GraphBudget, name: str) -> tuple[Limits, Mapping[Account, Limits]]:
    """What the logical run of an event may spend, and what the accounts may that it spends for; those that have limits.

    :param name: of the graph.
    """
    dag_run, day = Account.of(event, name)
    asked, own = (None if budget is None else budget.dag_run for budget in (event.budget, graph.run))
    shared = {
        dag_run: Limits.lowest(asked, own, name, f"budget.{AccountKind.DAG_RUN}", " by this DAG run"),
        day: Limits.lowest(None, graph.day, name, f"budget.{AccountKind.DAY}", f" today (UTC) by graph {name!r}"),
    }
    return Limits.lowest(event.budget, graph.run, name), {account: some for account, some in shared.items() if some}


def lower_of(one: Budget | None, other: Budget | None) -> Budget | None:
    """The budget with the lower limit of each kind."""
    if one is None or other is None:
        return other if one is None else one
    of_dag_run = one.dag_run if other.dag_run is None else other.dag_run
    if one.dag_run is not None and other.dag_run is not None:
        of_dag_run = SpendLimits(**_lower(one.dag_run, other.dag_run))
    return Budget(**_lower(one, other), dag_run=of_dag_run)


def _lower(one: SpendLimits, other: SpendLimits) -> dict[str, Any]:
    limits = {kind: (getattr(one, kind), getattr(other, kind)) for kind in KINDS}
    return {kind: min((limit for limit in pair if limit is not None), default=None) for kind, pair in limits.items()}


def _lowest(kind: Kind, event: SpendLimits | None, graph: SpendLimits | None, name: str) -> Limit | None:
    asked = None if event is None else getattr(event, kind)
    own = None if graph is None else getattr(graph, kind)
    if own is not None and (asked is None or own < asked):
        return Limit(own, f"the entry of graph {name!r} in langgraph.json")
    return None if asked is None else Limit(asked, "the event")


def _amount(kind: Kind, number: float) -> str:
    match kind:
        case "tokens":
            return f"{number:,} tokens"
        case "cost_usd":
            return in_usd(number)
        case "steps":
            return f"{number:,} supersteps"
        case "seconds":
            return f"{number:,.1f} s"


def in_usd(amount: float) -> str:
    """Dollars, with as many digits as small amounts need."""
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.6f}".rstrip("0").rstrip(".")
