"""What an exception of a graph means: whether its input was refused, and whether another run can help.

The faults that the worker names itself are in :mod:`langgraph_worker.domain.faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from langgraph.errors import EmptyInputError, GraphInterrupt, GraphRecursionError, InvalidUpdateError
from pydantic import ValidationError

from langgraph_worker.checkpoints.serializer import NotLoadableError
from langgraph_worker.domain.exception_texts import leaves
from langgraph_worker.errors import ForeignNamespaceError, ForeignThreadError, NoServerError

FINAL_EXCEPTIONS: tuple[type[BaseException], ...] = (
    SystemExit,
    KeyboardInterrupt,
    TypeError,
    AttributeError,
    NameError,
    LookupError,
    ArithmeticError,
    AssertionError,
    ImportError,
    SyntaxError,
    ReferenceError,
    RecursionError,
    NotImplementedError,
    InvalidUpdateError,
    EmptyInputError,
    GraphRecursionError,
    GraphInterrupt,  # from inside of a group, where LangGraph does not see it
    ForeignThreadError,
    ForeignNamespaceError,
    NoServerError,
    NotLoadableError,
)
"""Faults of the program or its settings: another run would end in the same way.

LangGraph's own ``RetryPolicy`` repeats a node after none of Python's among them either. ValueError is not here, nor
what is one (pydantic's ValidationError, LangChain's OutputParserException, json's JSONDecodeError): it says that a
value is wrong, which may be a model's, and a model may answer otherwise.
"""


RETRIABLE_STATUSES = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that pass: time-outs, conflicts, too early, too many requests."""


_INPUT_ERRORS = (ValidationError, InvalidUpdateError, EmptyInputError)


def rejects_input(error: BaseException) -> bool:
    """Whether an exception that came before any node ran says that the graph does not take its input."""
    return isinstance(error, _INPUT_ERRORS)


def can_retry_help(error: BaseException) -> bool:
    """Whether running a graph again can help after it raised this.

    An HTTP status (``status_code`` of the exception, as the model clients have it, or of its ``response``) decides
    first, then :data:`FINAL_EXCEPTIONS`, then the status of what it was raised from; another run may help after any
    other exception. After a group it helps if it helps after each member.
    """
    return all(map(_can_pass, leaves(error)))


def comes_from_cancellation(error: BaseException) -> bool:
    """Whether an exception holds a cancellation, or was raised while one was handled."""
    return any(isinstance(one, asyncio.CancelledError) for one in _related(error, with_contexts=True))


def _can_pass(error: BaseException) -> bool:
    status = _http_status(error)
    if status is not None:
        return _is_passing(status)
    if isinstance(error, FINAL_EXCEPTIONS):
        return False
    # Its author has judged the type of the cause by raising another. What a server has refused it refuses again.
    statuses = map(_http_status, _related(error, with_contexts=False))
    return all(status is None or _is_passing(status) for status in statuses)


def _is_passing(status: int) -> bool:
    return status >= 500 or status in RETRIABLE_STATUSES


def _related(error: BaseException, *, with_contexts: bool) -> Iterator[BaseException]:
    """An exception, the members of groups, and what each was raised from.

    :param with_contexts: also what was being handled when it was raised.
    """
    waiting = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        before = one.__cause__ or (one.__context__ if with_contexts else None)
        if before is not None:
            waiting.append(before)


def _http_status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None
