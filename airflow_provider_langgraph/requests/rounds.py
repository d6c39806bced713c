"""The requests of one try of a task: its own, which is round 0, and one for each answer to its graph's questions."""

from __future__ import annotations

from uuid import UUID

from workflow_events.identity import correlation_id

MOST_ROUNDS = 1_000
"""How often a try may answer: an agent that asks without end is stopped by this at the latest."""


def round_id(ti_id: UUID | str, round: int) -> UUID:  # noqa: A002
    """The correlation id of a round's request."""
    return correlation_id(ti_id, round=round)


def round_of(ti_id: UUID | str, request: UUID) -> int:
    """Which round of a try a request is; 0 if it is none of them."""
    return next((number for number in range(MOST_ROUNDS + 1) if round_id(ti_id, number) == request), 0)
