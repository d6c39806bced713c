"""Until when an agent may work, and until when its task waits.

There always is a deadline: a lost answer must end some day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_provider_langgraph.exceptions import SettingsError

DEFAULT_TIMEOUT = timedelta(hours=24)

LONGEST_TIMEOUT = timedelta(days=366)

GRACE = timedelta(seconds=60)
"""How much longer than the deadline a task waits, so that the worker's own ``timeout`` answer normally comes first."""

LEAST_WAIT = timedelta(seconds=30)
"""How long a trigger looks for the reply at least: it may start after the deadline, when the reply is there."""


LEAST_LEFT = timedelta(seconds=60)
"""How long an agent may go on behind a person's answer at least, however late in its time it has asked."""


SAFETY_NET = timedelta(minutes=5)
"""How long after the trigger's own limit Airflow ends the deferral: only a trigger that never ran gets there."""


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


def time_left(ends: datetime, asked: datetime | None, now: datetime) -> timedelta:
    """How much of an agent's time was left when it asked a person: the time of waiting for the person does not count.

    :param ends: the deadline of the request that asks.
    :param asked: when the worker ended it with the question; None if it does not say. The clocks of hosts differ.
    """
    return max(ends - min(asked or now, now), LEAST_LEFT)


def latest_reply(ends: datetime, now: datetime) -> datetime:
    """Until when a wait that begins now looks for the reply.

    :param ends: the request's deadline. It may be long past: the reply may have been there before it.
    """
    return max(ends + GRACE, now + LEAST_WAIT)


def deferral_timeout(ends: datetime, now: datetime) -> timedelta:
    """After how long Airflow itself ends a deferral that begins now.

    :param ends: the request's deadline.
    """
    return latest_reply(ends, now) - now + SAFETY_NET
