"""Which runs spend together, and what of a run is new."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from langgraph_worker.domain.accounts import MOST, Account, AccountKind, Count, StoredCounts
from langgraph_worker.domain.spending import Spending
from tests.support.run_store import attempt, event
from workflow_events.results import ModelUsage

START = datetime(2027, 1, 1, tzinfo=UTC)
BASE = event(attempt(1, run_start=START))


def dag_run(of) -> Account:
    return Account.of(of, "g")[0]


def test_a_days_account_is_that_of_the_graph() -> None:
    assert Account.of(BASE, "desk")[1] == Account(AccountKind.DAY, "desk")
    assert Account.of(event(), "desk")[1] == Account(AccountKind.DAY, "desk")


def test_tasks_tries_and_plain_events_of_one_dag_run_spend_together() -> None:
    other_task = event(attempt(2, task="b" * 64, run_start=START))
    assert dag_run(other_task) == dag_run(BASE)
    assert dag_run(event()) == dag_run(event())


@pytest.mark.parametrize(
    "other",
    [
        event(attempt(1, run_start=START), workflow_id="other"),
        event(attempt(1, run_start=START), workflow_run_id="other"),
        event(attempt(1, run_start=START, deployment="other")),
        event(attempt(1, run_start=START.replace(year=2028))),
        event(),
    ],
    ids=["dag", "run", "installation", "cleared after its end", "plain"],
)
def test_another_dag_run_has_another_account(other) -> None:
    assert dag_run(other) != dag_run(BASE)


def used(tokens: int, cost: float | None) -> ModelUsage:
    return ModelUsage(total_tokens=tokens, requests=tokens // 10, cost_usd=cost)


def test_what_a_run_has_spent_since_then() -> None:
    before = Spending({"a": used(10, 1.0), "b": used(20, None)}, 3, 2.0, None, frozenset({"b"}))
    now = Spending({"a": used(30, 1.5), "b": used(20, None), "c": used(10, None)}, 5, 2.5, None, frozenset({"b", "c"}))
    assert Count.between(before, now) == Count(30, 0.5, 2, 0.5, frozenset({"c"}), frozenset({"c"}))
    assert Count.between(None, before) == Count(30, 1.0, 3, 2.0, frozenset({"b"}), frozenset({"b"}))
    assert Count.between(now, now) == Count()


def test_a_model_that_is_called_again_is_named_again() -> None:
    before = Spending({"b": used(20, None)}, unreported=frozenset({"b"}))
    again = Spending({"b": used(30, None)}, unreported=frozenset({"b"}))
    assert Count.between(before, again) == Count(10, unpriced=frozenset({"b"}), unreported=frozenset({"b"}))


def test_what_is_not_stored_yet_counts_once() -> None:
    account = Account(AccountKind.DAY, "g")
    stored = StoredCounts(Spending({"a": used(10, 1.0)}), {account: Count(70, 3.0)})
    assert stored.count(account, Spending({"a": used(25, 1.5)})).tokens == 85
    assert stored.count(account, Spending({"a": used(10, 1.0)})) == Count(70, 3.0)
    assert StoredCounts().count(account, Spending({"a": used(25, 1.5)})).tokens == 25


def test_a_sum_stays_a_number_of_a_database() -> None:
    assert (Count(MOST) + Count(MOST)).tokens == MOST
    assert Count.between(None, Spending({"a": used(2**63 - 1, 0.0), "b": used(2**63 - 1, 0.0)})).tokens == MOST
