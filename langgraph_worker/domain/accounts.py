"""What several runs spend together: those of a DAG run, and those of a graph in one day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from langgraph_worker.domain.spending import Spending, usage_since
from workflow_events.models import WorkflowEvent
from workflow_events.results import ModelUsage

MOST = 2**53
"""What a count of several runs never exceeds: the sum of a thousand of them is still a number of a database."""

_NOTHING = ModelUsage(cost_usd=0.0)


class AccountKind(StrEnum):
    """Which runs spend together."""

    DAG_RUN = "dag_run"
    """All of a DAG run, whatever their graphs, until it is cleared after its end or created anew."""
    DAY = "day"
    """All of a graph, on one day (UTC, by the run store's clock)."""


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """Several runs that spend together.

    :param name: of a day, the graph's; of a DAG run, a digest of what identifies it.
    """

    kind: AccountKind
    name: str

    @classmethod
    def of(cls, event: WorkflowEvent, graph: str) -> tuple[Account, Account]:
        """Those that the run of this event spends for."""
        whole = [event.workflow_id, event.workflow_run_id]
        if event.attempt is not None or event.deployment is not None:
            whole += [event.deployment or "", event.run_start.isoformat() if event.run_start else ""]
        digest = hashlib.sha256(json.dumps(whole).encode()).hexdigest()
        return cls(AccountKind.DAG_RUN, digest), cls(AccountKind.DAY, graph)


@dataclass(frozen=True, slots=True)
class Count:
    """What was spent together. It has the fields of :class:`~langgraph_worker.domain.spending.Spending` that a limit is
    compared with.

    :param unpriced, unreported: some of the models whose price, or whose number of tokens, is not known.
    """

    tokens: int = 0
    cost_usd: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    unpriced: frozenset[str] = frozenset()
    unreported: frozenset[str] = frozenset()

    @classmethod
    def between(cls, before: Spending | None, now: Spending) -> Count:
        """What a logical run has spent between two counts of it."""
        old = before or Spending()
        called = {model for model, used in now.usage.items() if used != old.usage.get(model, _NOTHING)}
        since = usage_since(old.usage, now.usage)
        return cls(
            min(sum(used.total_tokens for used in since.values()), MOST),
            sum(used.cost_usd or 0.0 for used in since.values()),
            max(0, now.steps - old.steps),
            max(0.0, now.seconds - old.seconds),
            now.unpriced & called,
            (now.unreported & called) | (now.unreported - old.unreported),
        )

    def __add__(self, other: Count) -> Count:
        return Count(
            min(self.tokens + other.tokens, MOST),
            self.cost_usd + other.cost_usd,
            self.steps + other.steps,
            self.seconds + other.seconds,
            self.unpriced | other.unpriced,
            self.unreported | other.unreported,
        )


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """What a run store has of some accounts, and of one logical run, at one moment.

    :param own: of the logical run; None: nothing.
    :param together: of each account for which anything is stored. What is stored of the logical run is not in an
        account that it began to spend for later: one of another day, or of another DAG run.
    """

    own: Spending | None = None
    together: Mapping[Account, Count] = field(default_factory=dict)

    def count(self, account: Account, own: Spending) -> Count:
        """What an account has spent by now.

        :param own: what the logical run has spent by now, which may not be written yet.
        """
        return self.together.get(account, Count()) + Count.between(self.own, own)
