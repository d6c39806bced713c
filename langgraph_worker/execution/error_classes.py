"""The class of a graph's exception, by which the worker decides whether it repeats the run.

By types and codes, never by an exception's text: LangChain's own exceptions of models, HTTP statuses, the codes of
providers, and the types that clients raise for connections and timeouts. What the worker can do without, or has not in
every version, is known by the names of its packages and classes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterable, Mapping
from http.client import IncompleteRead
from urllib.error import URLError

from langgraph.errors import NodeTimeoutError

from langgraph_worker.domain.attributes import attribute
from langgraph_worker.domain.exception_texts import leaves
from langgraph_worker.domain.retry_policy import ErrorClass
from langgraph_worker.execution.exception_facts import http_status, related
from langgraph_worker.execution.exception_rules import FINAL_EXCEPTIONS
from langgraph_worker.execution.provider_codes import class_by_code, class_by_stream_code

_SEVEREST_FIRST = (
    ErrorClass.FINAL,
    ErrorClass.CONTEXT_LENGTH,
    ErrorClass.RATE_LIMIT,
    ErrorClass.SERVER_ERROR,
    ErrorClass.TIMEOUT,
    ErrorClass.CONNECTION,
)

_TIMEOUTS = (TimeoutError, NodeTimeoutError)
_CONNECTIONS = (
    ConnectionError,
    socket.gaierror,
    IncompleteRead,
    asyncio.IncompleteReadError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ENETRESET})
"""Errors of the system for which Python has no class."""

_HTTPX = {
    "ConnectTimeout": ErrorClass.CONNECTION,
    "PoolTimeout": ErrorClass.CONNECTION,
    "TimeoutException": ErrorClass.TIMEOUT,
    "NetworkError": ErrorClass.CONNECTION,
    "ProxyError": ErrorClass.CONNECTION,
    "RemoteProtocolError": ErrorClass.CONNECTION,
    "LocalProtocolError": ErrorClass.FINAL,
    "UnsupportedProtocol": ErrorClass.FINAL,
    "InvalidURL": ErrorClass.FINAL,
}
_MODEL_CLIENT = {"APITimeoutError": ErrorClass.TIMEOUT, "APIConnectionError": ErrorClass.CONNECTION}
_NAMES: Mapping[str, Mapping[str, ErrorClass]] = {
    "langchain_core": {
        "ContextOverflowError": ErrorClass.CONTEXT_LENGTH,
        "ModelRateLimitError": ErrorClass.RATE_LIMIT,
        "ModelTimeoutError": ErrorClass.TIMEOUT,
        "ModelConnectionError": ErrorClass.CONNECTION,
        "ModelAPIError": ErrorClass.SERVER_ERROR,
        "ModelError": ErrorClass.FINAL,
    },
    "openai": _MODEL_CLIENT,
    "anthropic": _MODEL_CLIENT,
    "groq": _MODEL_CLIENT,
    "httpx": _HTTPX,
    "httpx2": _HTTPX,
    "requests": {
        "ConnectTimeout": ErrorClass.CONNECTION,
        "Timeout": ErrorClass.TIMEOUT,
        "ConnectionError": ErrorClass.CONNECTION,
        "ChunkedEncodingError": ErrorClass.CONNECTION,
        "RetryError": ErrorClass.SERVER_ERROR,
    },
    "urllib3": {
        "NewConnectionError": ErrorClass.CONNECTION,
        "ConnectTimeoutError": ErrorClass.CONNECTION,
        "TimeoutError": ErrorClass.TIMEOUT,
        "ProtocolError": ErrorClass.CONNECTION,
        "ProxyError": ErrorClass.CONNECTION,
        "ResponseError": ErrorClass.SERVER_ERROR,
        "MaxRetryError": ErrorClass.CONNECTION,
    },
    "aiohttp": {
        "ConnectionTimeoutError": ErrorClass.CONNECTION,
        "ServerTimeoutError": ErrorClass.TIMEOUT,
        "ClientConnectionError": ErrorClass.CONNECTION,
        "ClientPayloadError": ErrorClass.CONNECTION,
    },
    "botocore": {
        "ConnectTimeoutError": ErrorClass.CONNECTION,
        "ReadTimeoutError": ErrorClass.TIMEOUT,
        "EndpointConnectionError": ErrorClass.CONNECTION,
        "ProxyConnectionError": ErrorClass.CONNECTION,
        "ConnectionClosedError": ErrorClass.CONNECTION,
        "ResponseStreamingError": ErrorClass.CONNECTION,
        "IncompleteReadError": ErrorClass.CONNECTION,
    },
}
"""By package and class. Of the classes that an exception is of, the first in Python's order counts.

A connection that did not come about in time is of the class ``connection``: the server has seen nothing of it. What
urllib3 and requests have repeated by themselves is repeated too.
"""

_OF_THE_TRANSPORT = (ErrorClass.TIMEOUT, ErrorClass.CONNECTION)
_STATUSES = {429: ErrorClass.RATE_LIMIT, 408: ErrorClass.TIMEOUT, 504: ErrorClass.TIMEOUT}


def error_class(error: BaseException) -> ErrorClass:
    """The class of an exception. Of a group, the one that allows least.

    An exception that says nothing by itself has the class of what it was raised from: the first in the chain that says
    something decides, be it that the program is at fault.
    """
    return _class_of(error, {})


def _class_of(error: BaseException, known: dict[int, ErrorClass]) -> ErrorClass:
    """See :func:`error_class`.

    :param known: the classes of exceptions that were looked at, by id.
    """
    link: BaseException | None = error
    passed: list[int] = []
    found: ErrorClass | None = None
    while found is None and link is not None and id(link) not in known:
        passed.append(id(link))
        known[id(link)] = ErrorClass.FINAL  # what leads back to here says nothing
        if isinstance(link, BaseExceptionGroup):
            members = {_class_of(leaf, known) for leaf in leaves(link)}
            found = next(kind for kind in _SEVEREST_FIRST if kind in members)
        else:
            found = _said_by(link)
        link = link.__cause__
    if found is None:
        found = ErrorClass.FINAL if link is None else known[id(link)]
    known |= dict.fromkeys(passed, found)
    return found


def _said_by(error: BaseException) -> ErrorClass | None:
    """What an exception says by itself; None: nothing."""
    if not isinstance(error, Exception):
        return ErrorClass.FINAL
    own = _own_class(error)
    return ErrorClass.FINAL if own is None and isinstance(error, FINAL_EXCEPTIONS) else own


def _own_class(error: BaseException) -> ErrorClass | None:
    found = class_by_code(error) or _named_with_causes(error)
    if found is not None:
        return found
    status = http_status(error)
    if status is not None:
        return _STATUSES.get(status, ErrorClass.SERVER_ERROR if status >= 500 else ErrorClass.FINAL)
    return class_by_stream_code(error) or _system(error)


def _system(error: BaseException) -> ErrorClass | None:
    """What Python's own exceptions say."""
    if isinstance(error, URLError):
        reason = attribute(error, "reason")
        return _system(reason) if isinstance(reason, BaseException) and not isinstance(reason, URLError) else None
    if isinstance(error, _TIMEOUTS):
        return ErrorClass.TIMEOUT
    if isinstance(error, _CONNECTIONS) or (isinstance(error, OSError) and attribute(error, "errno") in _UNREACHABLE):
        return ErrorClass.CONNECTION
    return None


def _named_with_causes(error: BaseException) -> ErrorClass | None:
    """The class by the exception's name. Clients of models wrap those of HTTP, which know what has happened."""
    found: ErrorClass | None = None
    for link in related(error, with_contexts=False):
        named = _named(type(link).__mro__)
        if named is None:
            break
        found = named
        if named not in _OF_THE_TRANSPORT:
            break
    return found


def _named(kinds: Iterable[type]) -> ErrorClass | None:
    for kind in kinds:
        names = _NAMES.get(str(kind.__module__).partition(".")[0], {})
        if kind.__name__ in names:
            return names[kind.__name__]
    return None
