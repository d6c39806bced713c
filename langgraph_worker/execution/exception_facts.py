"""What an exception of a graph says by itself: what it was raised from, an HTTP status, codes, headers of an answer.

An exception may be of a class of the graph's own, and its properties may raise: what cannot be read is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any

from langgraph_worker.domain.attributes import attribute


def related(error: BaseException, *, with_contexts: bool) -> Iterator[BaseException]:
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


def http_status(error: BaseException) -> int | None:
    """The HTTP status that an exception is about, if it is one of an error.

    It is where the client keeps it: openai, anthropic, ollama and httpx have ``status_code`` on the exception or its
    response, aiohttp ``status``, urllib and Google's clients ``code``, botocore a mapping. Servers of models give it as
    the code of an error within a stream, which openai turns into text.
    """
    if not isinstance(error, Exception):
        return None  # the code of a SystemExit is none
    answer, code = attribute(error, "response"), attribute(error, "code")
    held = [attribute(error, "status_code"), attribute(answer, "status_code"), attribute(error, "status")]
    held.append(int(code) if isinstance(code, str) and len(code) == 3 and code.isdecimal() else code)
    held.append(_entry(_entry(answer, "ResponseMetadata"), "HTTPStatusCode"))
    return next((int(one) for one in held if isinstance(one, int) and 400 <= one < 600), None)


def error_codes(error: BaseException) -> Iterator[str]:
    """The codes by which a server names its error, in small letters; the most exact first.

    openai and what is compatible with it have ``code`` and ``type``, anthropic ``error_code`` and ``type``; both have
    them in ``body`` too, as the server wrote them. botocore has a mapping.
    """
    body, answer = attribute(error, "body"), attribute(error, "response")
    inner = _entry(body, "error")
    found = [attribute(error, "code"), attribute(error, "error_code"), _entry(_entry(answer, "Error"), "Code")]
    found += [_entry(holder, "code") for holder in (inner, body)]
    found += [attribute(error, "type"), *(_entry(holder, "type") for holder in (inner, body))]
    return (code.lower() for code in found if isinstance(code, str))


def answer_headers(error: BaseException) -> Iterator[tuple[str, str]]:
    """The headers of the answer that an exception is about, each with its name in small letters.

    They are of httpx and requests, of aiohttp and urllib, or of botocore. One that was sent twice comes twice, or once
    with both values, a comma between them.
    """
    answer = attribute(error, "response")
    metadata = _entry(answer, "ResponseMetadata")
    for headers in (attribute(answer, "headers"), attribute(error, "headers"), _entry(metadata, "HTTPHeaders")):
        if isinstance(headers, (Mapping, Message)):
            yield from _pairs(headers)


def _pairs(headers: Mapping[Any, Any] | Message) -> list[tuple[str, str]]:
    try:
        return [(str(name).lower(), str(value)) for name, value in headers.items()]
    except Exception:  # noqa: BLE001 - a mapping of the graph's own
        return []


def _entry(holder: Any, name: str) -> Any:
    try:
        return holder.get(name) if isinstance(holder, Mapping) else None
    except Exception:  # noqa: BLE001 - a mapping of the graph's own
        return None
