"""Until when an agent may work, and from when on its task may come back.

There always is a deadline: a lost answer must end some day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import conf

from airflow_provider_langgraph.exceptions import SettingsError

DEFAULT_TIMEOUT = timedelta(hours=24)

LONGEST_TIMEOUT = timedelta(days=366)

GRACE = timedelta(seconds=60)
"""How much longer than the deadline a task waits, so that the worker's own ``timeout`` answer normally comes first."""

LEAST_WAIT = timedelta(seconds=30)
"""How long a trigger looks for the reply in any case: it may start after the deadline, and the reply be there."""

SCHEDULER_MARGIN = timedelta(seconds=5)
"""What a busy scheduler may need to work off the end of a task's first part: a few of its loops."""

LONGEST_SETTLE = timedelta(seconds=60)
"""A trigger never holds a reply longer than this, whatever the clocks of two hosts make of it."""


def as_timedelta(timeout: timedelta | float | None, name: str = "timeout") -> timedelta:
    """Normalise an operator's argument: a timedelta, or seconds; None is :data:`DEFAULT_TIMEOUT`.

    :raises SettingsError: not a duration, or not above zero.
    """
    if timeout is None:
        return DEFAULT_TIMEOUT
    if isinstance(timeout, bool) or not isinstance(timeout, timedelta | int | float):
        raise SettingsError(f"{name} must be a timedelta or a number of seconds, not {type(timeout).__name__}")
    if not isinstance(timeout, timedelta) and not 0 < timeout < LONGEST_TIMEOUT.total_seconds():
        raise SettingsError(f"{name} must be above zero and below {LONGEST_TIMEOUT.days} days, not {timeout}")
    duration = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
    if not timedelta(0) < duration < LONGEST_TIMEOUT:
        raise SettingsError(f"{name} must be above zero and below {LONGEST_TIMEOUT.days} days, not {duration}")
    return duration


def deadline(timeout: timedelta, execution_timeout: timedelta | None, now: datetime, started: datetime) -> datetime:
    """The earlier of ``now + timeout`` and the end of the task's ``execution_timeout``, in UTC.

    Airflow itself does not apply ``execution_timeout`` to a deferral, yet many authors set it for every task.

    :param started: when Airflow started this try of the task.
    """
    ends = now + timeout
    if execution_timeout is not None:
        ends = min(ends, started + execution_timeout)
    return ends.astimezone(UTC)


def settled(now: datetime) -> datetime:
    """From when on a task that defers now may be resumed.

    Airflow fails a task whose second part is queued before the scheduler has heard that its first part ended: "finished
    with state success, but the task instance's state attribute is queued" (apache/airflow#71580, open). It may hear of
    it late: a task's supervisor notices a finished process at once or ``[workers] min_heartbeat_interval`` seconds
    later (measured on 3.3.2: 14 of 43 parts took 5.0 s longer), and then the scheduler has its own loop to go through.
    """
    return now + timedelta(seconds=conf.getint("workers", "min_heartbeat_interval", fallback=5)) + SCHEDULER_MARGIN
