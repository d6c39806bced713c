"""Why an answer is not taken, in the words of every run store: who answered first, and what is asked now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from workflow_events.log_words import short_id

UNKNOWN = "is not known: nothing asked it, or its run was pruned"
LEFT = "is not asked any more: its task was started afresh, its request was cancelled, or its run went on without it"

_MOST = 5
"""Of more questions, the first ones are named."""


def answered(at: datetime, by: str | None, request: UUID | None) -> str:
    """What is said of a question that has its answer.

    :param by: the person or program that gave it; None if the answer names none.
    :param request: the request that gave it; None from an earlier version.
    """
    named = f" by {by}" if by else ""
    asked = f" in request {short_id(request)}" if request is not None else ""
    return f"was answered{named} at {at.isoformat(timespec='seconds')}{asked}"


def asked_now(questions: Sequence[tuple[str, UUID]]) -> str:
    """A sentence that names what can be answered instead; empty if nothing is asked.

    :param questions: interrupt ids, each with the request whose result asks it.
    """
    if not questions:
        return ""
    shown = ", ".join(f"{name!r} (answers_to {request})" for name, request in questions[:_MOST])
    more = f" and {len(questions) - _MOST} more" if len(questions) > _MOST else ""
    return f". Its task asks {shown}{more} now: answer that"
