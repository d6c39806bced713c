"""What an exception of a graph means: whether its input was refused, and whether another run can help.

The faults that the worker names itself are in :mod:`langgraph_worker.domain.faults`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core import exceptions as langchain
from langgraph.errors import EmptyInputError, GraphInterrupt, GraphRecursionError, InvalidUpdateError
from pydantic import ValidationError

from langgraph_worker.checkpoints.serializer import NotLoadableError
from langgraph_worker.domain.attributes import attribute
from langgraph_worker.domain.exception_texts import leaves
from langgraph_worker.domain.retry_policy import ErrorClass
from langgraph_worker.errors import BlockingCallError, ForeignNamespaceError, ForeignThreadError, NoServerError
from langgraph_worker.execution.exception_facts import http_status, related
from langgraph_worker.execution.provider_codes import class_by_code, class_by_stream_code

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
    BlockingCallError,
    langchain.ContextOverflowError,
)
"""Faults of the program or its settings: another run would end in the same way.

LangGraph's own ``RetryPolicy`` repeats a node after none of Python's among them either. ValueError is not here, nor
what is one (pydantic's ValidationError, LangChain's OutputParserException, json's JSONDecodeError): it says that a
value is wrong, which may be a model's, and a model may answer otherwise.
"""


_MODEL_ERROR: Any = getattr(langchain, "ModelError", ())  # not in every version
RETRIABLE_STATUSES = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that pass: time-outs, conflicts, too early, too many requests."""


_INPUT_ERRORS = (ValidationError, InvalidUpdateError, EmptyInputError)


def rejects_input(error: BaseException) -> bool:
    """Whether an exception that came before any node ran says that the graph does not take its input."""
    return isinstance(error, _INPUT_ERRORS)


def can_retry_help(error: BaseException) -> bool:
    """Whether running a graph again can help after it raised this.

    A provider's code that says more than the status beside it decides first. LangChain's own exceptions of models say
    it themselves. Else an HTTP status decides (of the exception, as the model clients have it, or of its
    ``response``), then the code of an error within a stream, then :data:`FINAL_EXCEPTIONS`, then the code or status of
    what it was raised from; another run may help after any other exception. After a group it helps if it helps after
    each member.
    """
    return all(map(_can_pass, leaves(error)))


def comes_from_cancellation(error: BaseException) -> bool:
    """Whether an exception holds a cancellation, or was raised while one was handled."""
    return any(isinstance(one, asyncio.CancelledError) for one in related(error, with_contexts=True))


def _can_pass(error: BaseException) -> bool:
    if isinstance(error, _MODEL_ERROR) and class_by_code(error) is None:
        return bool(attribute(error, "is_retryable"))
    by_server = _passes_for_server(error)
    if by_server is not None:
        return by_server
    if isinstance(error, FINAL_EXCEPTIONS):
        return False
    # Its author has judged the type of the cause by raising another. What a server has refused it refuses again.
    return all(_passes_for_server(one) is not False for one in related(error, with_contexts=False))


def _passes_for_server(error: BaseException) -> bool | None:
    """Whether another run can help by what a server has answered; None if none has."""
    by_code = class_by_code(error)
    if by_code is not None:
        return by_code not in (ErrorClass.FINAL, ErrorClass.CONTEXT_LENGTH)
    status = http_status(error)
    if status is not None:
        return _is_passing(status)
    by_code = class_by_stream_code(error)
    return None if by_code is None else by_code is not ErrorClass.FINAL


def _is_passing(status: int) -> bool:
    return status >= 500 or status in RETRIABLE_STATUSES
