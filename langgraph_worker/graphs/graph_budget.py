"""What a graph's entry in ``langgraph.json`` lets its runs spend: each of them, those of a DAG run, those of a day.

The entry's key ``budget``, which only this worker reads::

    {"graphs": {"desk": {"path": "./desk.py:graph", "budget": {
        "tokens": 200000,
        "dag_run": {"cost_usd": 5},
        "day": {"cost_usd": 40}
    }}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph_worker.domain.accounts import AccountKind
from langgraph_worker.domain.budgets import GraphBudget
from workflow_events.models import MOST_COUNTED, Budget, SpendLimits
from workflow_events.nearest_name import did_you_mean

_WHOLE = {"tokens": "tokens", "steps": "supersteps"}
_LIMITS = tuple(SpendLimits.model_fields)
_DAG_RUN, _DAY = AccountKind.DAG_RUN.value, AccountKind.DAY.value
_KEYS = (*_LIMITS, _DAG_RUN, _DAY)


def graph_budget(value: Any) -> GraphBudget:
    """The budget of an entry.

    :raises ValueError: what is wrong, and what is right.
    """
    if value is None:
        return GraphBudget()
    entries = _checked(value, "budget", _KEYS)
    shared = {key: SpendLimits(**_account(entries[key], f"budget.{key}")) for key in (_DAG_RUN, _DAY) if key in entries}
    own = _limits({key: limit for key, limit in entries.items() if key in _LIMITS}, "budget")
    dag_run = shared.get(_DAG_RUN)
    return GraphBudget(Budget(**own, dag_run=dag_run) if own or dag_run else None, shared.get(_DAY))


def _account(value: Any, at: str) -> dict[str, Any]:
    return _limits(_checked(value, at, _LIMITS), at)


def _limits(limits: Mapping[str, Any], at: str) -> dict[str, Any]:
    for key, limit in limits.items():
        _require_limit(f"{at}.{key}", key, limit)
    return dict(limits)


def _checked(value: Any, at: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"key {at!r} must be an object with one or more of {', '.join(keys)}, not {value!r}")
    for key in value:
        if key not in keys:
            meant = did_you_mean(key, keys)
            raise ValueError(f"key {at!r} has no key {key!r}.{meant} It may have {', '.join(keys)}")
    return value


def _require_limit(at: str, key: str, limit: Any) -> None:
    if key in _WHOLE:
        if not is_number(limit) or not isinstance(limit, int) or not 1 <= limit <= MOST_COUNTED:
            raise ValueError(f"key {at!r} must be a whole number of {_WHOLE[key]} above 0, not {limit!r}")
    elif not is_number(limit) or not 0 < limit < float("inf"):
        what = "US dollars" if key == "cost_usd" else "seconds"
        raise ValueError(f"key {at!r} must be a number of {what} above 0, not {limit!r}")


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
