"""How long a server asks to wait before it is asked again: the header ``Retry-After`` of its answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from langgraph_worker.domain.retry_policy import LONGEST_WAIT_SECONDS
from langgraph_worker.execution.exception_facts import answer_headers, related


def retry_after(error: BaseException, now: datetime) -> float | None:
    """How long a server asks to wait, in seconds, at most
    :data:`~langgraph_worker.domain.retry_policy.LONGEST_WAIT_SECONDS`; of several waits, the longest.

    None: it does not ask for one. No wait and a time that has passed are none.
    """
    asked = [seconds for one in related(error, with_contexts=False) for seconds in _asked(one, now) if seconds > 0]
    return min(max(asked), LONGEST_WAIT_SECONDS) if asked else None


def _asked(error: BaseException, now: datetime) -> Iterator[float]:
    for name, value in answer_headers(error):
        # A date has a comma behind the day of the week; without that it is still a date.
        for part in value.split(","):
            if name == "retry-after-ms" and (milliseconds := _number(part)) is not None:
                yield milliseconds / 1_000
            elif name == "retry-after" and (seconds := _seconds(part, now)) is not None:
                yield seconds


def _seconds(text: str, now: datetime) -> float | None:
    number = _number(text)
    if number is not None:
        return number
    try:
        found = parsedate_to_datetime(text)
        until = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return (until - now).total_seconds()
    except (ValueError, IndexError, TypeError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
