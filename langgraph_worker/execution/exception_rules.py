"""What an exception of a graph means: whether its input was refused, and whether another run can help.

The faults that the worker names itself are in :mod:`langgraph_worker.domain.faults`.
"""

from __future__ import annotations

from langgraph.errors import EmptyInputError, GraphRecursionError, InvalidUpdateError
from pydantic import ValidationError

from langgraph_worker.checkpoints.serializer import NotLoadableError
from langgraph_worker.errors import ForeignNamespaceError, ForeignThreadError, NoServerError

FINAL_EXCEPTIONS: tuple[type[BaseException], ...] = (
    SystemExit,
    KeyboardInterrupt,
    TypeError,
    NameError,
    ImportError,
    SyntaxError,
    NotImplementedError,
    InvalidUpdateError,
    EmptyInputError,
    GraphRecursionError,
    ForeignThreadError,
    ForeignNamespaceError,
    NoServerError,
    NotLoadableError,
)
"""Faults of the program or its settings: another run would end in the same way."""


RETRIABLE_STATUSES = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that pass: time-outs, conflicts, too early, too many requests."""


_INPUT_ERRORS = (ValidationError, InvalidUpdateError, EmptyInputError)


def rejects_input(error: BaseException) -> bool:
    """Whether an exception that came before any node ran says that the graph does not take its input."""
    return isinstance(error, _INPUT_ERRORS)


def can_retry_help(error: BaseException) -> bool:
    """Whether running a graph again can help after it raised this.

    An HTTP status (``status_code`` of the exception, as the model clients have it, or of its ``response``) decides
    first, then :data:`FINAL_EXCEPTIONS`; another run may help after any other exception.
    """
    status = _http_status(error)
    if status is not None:
        return status >= 500 or status in RETRIABLE_STATUSES
    return not isinstance(error, FINAL_EXCEPTIONS)


def _http_status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None
