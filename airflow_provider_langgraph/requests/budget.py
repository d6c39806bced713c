"""``budget`` of an operator: what a request may spend."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import NO_MAPPING, short_repr
from airflow_provider_langgraph.requests.topics import is_still_to_come
from workflow_events.models import MOST_COUNTED, Budget, SpendLimits
from workflow_events.nearest_name import did_you_mean

_KEYS = tuple(Budget.model_fields)
_LIMITS = tuple(SpendLimits.model_fields)
_DAG_RUN = "dag_run"
_WHOLE = {"tokens": "tokens", "steps": "supersteps"}
_UNITS = {"cost_usd": "US dollars", "seconds": "seconds"}
_NUMBER = re.compile(r"\d{1,30}(\.\d{1,30})?")
_EXAMPLE = "{'tokens': 50_000, 'cost_usd': 0.5}"


def check_budget(value: Any, name: str = "budget") -> None:
    """Check an operator's ``budget`` when the DAG file is parsed. What is rendered later is not checked.

    :param name: what the author calls it.
    :raises SettingsError: names the key, its value and the remedy.
    """
    if value is not None:
        _check(value, name, _KEYS)


def _check(value: Any, name: str, keys: tuple[str, ...]) -> None:
    if is_still_to_come(value):
        return
    for key, limit in _entries(value, name, keys).items():
        if key == _DAG_RUN:
            _check(limit, f"{name}['{key}']", _LIMITS)
        elif not is_still_to_come(limit):
            _limit(key, limit, name)


def budget_of(value: Any, name: str = "budget") -> dict[str, Any] | None:
    """The limits that a rendered ``budget`` names, as numbers; None: there is none.

    :param name: what the author calls it.
    :raises SettingsError: as :func:`check_budget`.
    """
    return None if value is None else _numbers(value, name, _KEYS)


def _numbers(value: Any, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    return {
        key: _numbers(limit, f"{name}['{key}']", _LIMITS) if key == _DAG_RUN else _limit(key, limit, name)
        for key, limit in _entries(value, name, keys).items()
    }


def _entries(value: Any, name: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{name} must be a mapping, such as {_EXAMPLE}, not {short_repr(value)}. {NO_MAPPING}")
    if not value:
        raise SettingsError(f"{name} is empty: give one or more of {', '.join(keys)}, or leave it out")
    for key in value:
        if key not in keys:
            allowed = ", ".join(keys)
            raise SettingsError(f"{name}: unknown key {key!r}.{did_you_mean(str(key), keys)} Allowed are {allowed}")
    return value


def _limit(key: str, value: Any, name: str) -> float:
    number = _number(value.total_seconds() if key == "seconds" and isinstance(value, timedelta) else value)
    is_too_large = number is not None and (number > MOST_COUNTED if key in _WHOLE else number == math.inf)
    found = f"{short_repr(value)}{', which is too large' if is_too_large else ''}"
    if key in _WHOLE:
        if number is None or is_too_large or number < 1 or number != int(number):
            raise SettingsError(f"{name}['{key}'] must be a whole number of {_WHOLE[key]} above 0, not {found}")
        return int(number)
    if number is None or is_too_large or number <= 0:
        raise SettingsError(f"{name}['{key}'] must be a number of {_UNITS[key]} above 0, not {found}")
    return float(number)


def _number(value: Any) -> int | float | None:
    """A number, or the text of one, which templates give; None for all else. What no float holds is infinite."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except ValueError:  # a NaN of Decimal's that signals
        return None
    if math.isnan(number):
        return None
    return number if isinstance(value, Decimal) or math.isinf(number) else value
