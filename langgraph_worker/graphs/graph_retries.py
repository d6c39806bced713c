"""Which errors of a graph the worker repeats, by the graph's entry in ``langgraph.json``.

The entry's key ``retries``, which only this worker reads. ``false`` repeats none; a class that it does not name keeps
its default, and 0 is never::

    {"graphs": {"desk": {"path": "./desk.py:graph", "retries": {
        "rate_limit": {"times": 8, "wait_seconds": 10, "max_wait_seconds": 300},
        "connection": 0,
        "context_length": {"model": "llama3.1:70b"}
    }}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph_worker.domain.retry_policy import DEFAULT_RULES, ErrorClass, RetryRule, RetryRules
from langgraph_worker.graphs.graph_budget import is_number
from workflow_events.nearest_name import did_you_mean

_CLASSES = tuple(kind.value for kind in DEFAULT_RULES)
_WAITS = ("wait_seconds", "max_wait_seconds")
_MOST_TIMES = 100
_LONGEST_WAIT_SECONDS = 86_400.0


def graph_retries(value: Any) -> RetryRules:
    """The rules of an entry.

    :raises ValueError: what is wrong, and what is right.
    """
    if value is None:
        return RetryRules()
    if value is False:
        return RetryRules({})
    if not isinstance(value, Mapping):
        raise ValueError(f"key 'retries' must be false, or an object with keys among {', '.join(_CLASSES)}")
    rules, model = dict(DEFAULT_RULES), None
    for name, given in value.items():
        if name not in _CLASSES:
            meant = did_you_mean(name, _CLASSES)
            raise ValueError(f"key 'retries' has no key {name!r}.{meant} It may have {', '.join(_CLASSES)}")
        kind = ErrorClass(name)
        if kind is ErrorClass.CONTEXT_LENGTH:
            model = _model(given) if given != 0 or isinstance(given, bool) else None
            if model is None:
                del rules[kind]
        else:
            rules[kind] = _rule(name, rules[kind], given)
    return RetryRules(rules, model)


def _rule(name: str, usual: RetryRule, given: Any) -> RetryRule:
    at = f"key 'retries.{name}"
    keys: tuple[str, ...] = ("times", *_WAITS)
    if name == ErrorClass.TIMEOUT.value:
        keys = (*keys, "step_factor")
    if isinstance(given, Mapping):
        for key in given:
            if key not in keys:
                raise ValueError(f"{at}' has no key {key!r}.{did_you_mean(key, keys)} It may have {', '.join(keys)}")
        numbers = {key: _seconds(f"{at}.{key}'", given[key]) for key in _WAITS if key in given}
        if "step_factor" in given:
            numbers["step_factor"] = _factor(f"{at}.step_factor'", given["step_factor"])
        rule = replace(usual, times=_times(f"{at}.times'", given.get("times", usual.times)), **numbers)
    else:
        rule = replace(usual, times=_times(f"{at}'", given))
    if rule.wait_seconds > rule.max_wait_seconds:
        if "max_wait_seconds" in given:
            raise ValueError(
                f"{at}.max_wait_seconds' must not be less than wait_seconds, which is {rule.wait_seconds:g}, "
                f"not {rule.max_wait_seconds:g}"
            )
        rule = replace(rule, max_wait_seconds=rule.wait_seconds)
    return rule


def _times(at: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TIMES:
        raise ValueError(f"{at} must be a number of times from 0 to {_MOST_TIMES}, not {value!r}")
    return value


def _seconds(at: str, value: Any) -> float:
    if not is_number(value) or not 0 < value <= _LONGEST_WAIT_SECONDS:
        raise ValueError(f"{at} must be a number of seconds above 0, up to {_LONGEST_WAIT_SECONDS:,.0f}, not {value!r}")
    return float(value)


def _factor(at: str, value: Any) -> float:
    if not is_number(value) or not 0.1 <= value <= 1:
        raise ValueError(f"{at} must be a number from 0.1 to 1, not {value!r}")
    return float(value)


def _model(given: Any) -> str:
    model = given.get("model") if isinstance(given, Mapping) and given.keys() <= {"model"} else None
    if not isinstance(model, str) or not 1 <= len(model) <= 512:
        raise ValueError(
            "key 'retries.context_length' must be {\"model\": the name of a model that takes a longer input}, or 0, "
            f"not {given!r}"
        )
    return model
