"""How long a task waits in its slot before it defers: a deferral costs a short agent more than its own work."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.deadline import LONGEST_TIMEOUT, latest_reply
from airflow_provider_langgraph.requests.topics import is_still_to_come

DEFER_AFTER = timedelta(seconds=5)

_OPTION = "[langgraph] defer_after of Airflow's configuration"


def check_defer_after(value: Any) -> None:
    """Check an operator's ``defer_after`` when the DAG file is parsed. A value that is rendered later is not checked.

    :raises SettingsError: not a duration, or below zero.
    """
    if value is not None and not is_still_to_come(value):
        _seconds(value, "defer_after")


def defer_after_seconds(value: Any) -> float:
    """A rendered ``defer_after`` in seconds; None is the configured one, else :data:`DEFER_AFTER`.

    :raises SettingsError: not a duration, or below zero.
    """
    if value is not None:
        return _seconds(value, "defer_after")
    configured = str(conf.get("langgraph", "defer_after", fallback="")).strip()
    return _seconds(configured, _OPTION) if configured else DEFER_AFTER.total_seconds()


def slot_seconds(defer_after: float, deadline: datetime, now: datetime | None = None) -> float:
    """For how many seconds a task that has asked waits in its slot: no longer than its reply can come.

    Past the deadline it looks as well: the reply may be there, and a deferral would only find it later.

    :param defer_after: in seconds.
    """
    now = now or datetime.now(UTC)
    return min(defer_after, (latest_reply(deadline, now) - now).total_seconds())


def _seconds(value: Any, name: str) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    try:
        if isinstance(seconds, bool):
            raise TypeError
        seconds = float(seconds)
    except (TypeError, ValueError):
        raise SettingsError(
            f"{name} must be a timedelta or a number of seconds, not {value!r}. 0 defers at once"
        ) from None
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds < LONGEST_TIMEOUT.total_seconds():
        raise SettingsError(f"{name} must be 0 or more, and below {LONGEST_TIMEOUT.days} days, not {value!r}")
    return seconds
