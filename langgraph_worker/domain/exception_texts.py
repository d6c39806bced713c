"""What is said of an exception: with its text, which may quote personal data, or its type alone."""

from __future__ import annotations

import traceback

from langgraph_worker.domain.json_values import MAX_KEPT_CHARACTERS, describe
from langgraph_worker.domain.unreachable_hosts import unreachable_host

_MAX_LEAVES = 5  # of a group, in one text
_MAX_LEAF_CHARACTERS = 500


def leaves(error: BaseException) -> list[BaseException]:
    """The exceptions of a group, at every depth; of another exception, itself."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:  # no recursion: groups may be nested as deep as their code likes
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting += reversed(one.exceptions)
        else:
            found.append(one)
    return found


def type_name(error: BaseException) -> str:
    """The name of an exception's type; of a group whose members have all one type, the name of that."""
    names = {type(leaf).__name__ for leaf in leaves(error)}
    return names.pop() if len(names) == 1 else type(error).__name__


def described(error: BaseException, *, with_text: bool) -> str:
    """An exception for a result, a log or a step: ``Type: text``, with the server that it is about, or ``Type``.

    Of a group, its members too.
    """
    kind = type(error).__name__
    text = f"{kind}: {describe(error)}" if with_text else kind
    if not isinstance(error, BaseExceptionGroup):
        return f"{text}{unreachable_host(error)}" if with_text else text
    members = leaves(error)
    said = [described(member, with_text=with_text)[:_MAX_LEAF_CHARACTERS] for member in members[:_MAX_LEAVES]]
    more = [f"and {len(members) - _MAX_LEAVES:,} more"] if len(members) > _MAX_LEAVES else []
    return f"{text}: {'; '.join([*said, *more])}"


def traceback_of(error: BaseException | None, *, with_text: bool) -> str:
    """The error's traceback. A long one keeps its beginning and its end, which says what was raised, and where.

    :param with_text: False: each exception of the chain is its frames and its type.
    """
    if error is None:
        return ""
    text = _formatted(error) if with_text else "".join(reversed(_frames(error)))
    return (
        text
        if len(text) <= 2 * MAX_KEPT_CHARACTERS
        else f"{text[:MAX_KEPT_CHARACTERS]}\n...\n{text[-MAX_KEPT_CHARACTERS:]}"
    )


def _formatted(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - an exception's own attributes may raise while they are shown
        return "".join(reversed(_frames(error)))


def _frames(error: BaseException) -> list[str]:
    parts: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        parts.append(f"{''.join(traceback.format_tb(link.__traceback__))}{type(link).__name__}\n")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return parts
