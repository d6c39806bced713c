"""Ids, numbers and times as log lines show them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID


def short_id(request: UUID | str) -> str:
    """The first eight characters of an id. They find every line of a request; one line of each log has the whole id."""
    return str(request)[:8]


def with_article(noun: str) -> str:
    """``an object``, ``a Thing``."""
    return f"{'an' if noun[:1].casefold() in 'aeio' else 'a'} {noun}"


def counted(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def in_seconds(seconds: float) -> str:
    """``0.04 s``, ``1.5 s``, ``12 s``: what a person wants of a duration."""
    if seconds < 0.1:
        return f"{max(seconds, 0.0):.2f} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


def in_utc(instant: datetime) -> str:
    """``2026-11-30 00:08:54 UTC``."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def number_ranges(numbers: Iterable[int]) -> str:
    """``0-5, 8``; ``none`` without numbers."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found) or "none"
