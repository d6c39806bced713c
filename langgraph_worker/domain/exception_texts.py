"""What is said of an exception: with its text, which may quote personal data, or its type alone."""

from __future__ import annotations

import traceback

from langgraph_worker.domain.json_values import MAX_KEPT_CHARACTERS, describe
from langgraph_worker.domain.unreachable_hosts import unreachable_host


def described(error: BaseException, *, with_text: bool) -> str:
    """An exception for a result, a log or a step: ``Type: text``, with the server that it is about, or ``Type``."""
    kind = type(error).__name__
    return f"{kind}: {describe(error)}{unreachable_host(error)}" if with_text else kind


def traceback_of(error: BaseException | None, *, with_text: bool) -> str:
    """The error's traceback. A long one keeps its beginning and its end, which says what was raised, and where.

    :param with_text: False: each exception of the chain is its frames and its type.
    """
    if error is None:
        return ""
    text = "".join(traceback.format_exception(error) if with_text else reversed(_frames(error)))
    return (
        text
        if len(text) <= 2 * MAX_KEPT_CHARACTERS
        else f"{text[:MAX_KEPT_CHARACTERS]}\n...\n{text[-MAX_KEPT_CHARACTERS:]}"
    )


def _frames(error: BaseException) -> list[str]:
    parts: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        parts.append(f"{''.join(traceback.format_tb(link.__traceback__))}{type(link).__name__}\n")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return parts
