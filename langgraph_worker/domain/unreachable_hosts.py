"""Which server an exception of a client is about: it may say "All connection attempts failed", and no more.

Known are httpx and what builds on it (openai, anthropic, ollama), requests, urllib3 and aiohttp: by the names of their
classes and attributes, as the worker needs none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from langgraph_worker.domain.attributes import attribute
from workflow_events.plain_text import one_line

_MOST_LINKS = 20  # of a chain of exceptions
_LONGEST_HOST_CHARACTERS = 255
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_TIMEOUTS = frozenset({"TimeoutException", "APITimeoutError", "Timeout", "TimeoutError", "ServerTimeoutError"})
_CONNECTS = frozenset({"ConnectError", "ConnectTimeout", "NewConnectionError", "ClientConnectorError"})
_OTHERS = frozenset(
    {"TransportError", "APIConnectionError", "ConnectionError", "MaxRetryError", "ClientConnectionError"}
)
_ALL = _TIMEOUTS | _CONNECTS | _OTHERS


def unreachable_host(error: BaseException) -> str:
    """Which server could not be reached, and the remedy, to be put behind the exception's text; empty if it is about no
    connection, or names no server. Names host and port alone: a path or a query may hold a secret.
    """
    begun = _failed_connection(error)
    chain = list(_chain(begun)) if begun is not None else []
    kinds = {name for link in chain for name in _class_names(link)}
    if any(_has_answer(link) for link in chain):
        return ""
    at = next((found for link in chain if (found := _server_of(link))), "")
    if not at:
        return ""
    if kinds & _CONNECTS:
        problem = f"no connection to {at}"
    elif kinds & _TIMEOUTS:
        problem = f"no answer in time from {at}"
    else:
        problem = f"the connection to {at} failed"
    return (
        f" ({problem}: check that the server runs, that this worker's host reaches it, and the address that the graph "
        "gives its client, such as base_url or OLLAMA_HOST)"
    )


def _failed_connection(error: BaseException) -> BaseException | None:
    """The exception itself if it is about a connection, else the one that it was raised from. One that was only handled
    before says nothing of it.
    """
    link: BaseException | None = error
    for _ in range(_MOST_LINKS):
        if link is None or _class_names(link) & _ALL:
            return link
        link = link.__cause__
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, and what it came from, also where ``from None`` hides that: libraries hide the request so."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen and len(seen) < _MOST_LINKS:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _class_names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _has_answer(error: BaseException) -> bool:
    """Whether a server has answered."""
    return attribute(attribute(error, "response"), "status_code") is not None


def _server_of(error: BaseException) -> str:
    url = attribute(attribute(error, "request"), "url")
    if url is not None:
        return _host_in(url)
    for holder in (attribute(error, "pool"), error):  # urllib3, aiohttp
        host, port = attribute(holder, "host"), attribute(holder, "port")
        if isinstance(host, str) and isinstance(port, int):
            return _shown(host, port)
    return ""


def _host_in(url: Any) -> str:
    try:
        parts = urlsplit(str(url))
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except Exception:  # noqa: BLE001 - it is no URL, or an object that cannot say what it is
        return ""
    return _shown(host, port) if host else ""


def _shown(host: str, port: int | None) -> str:
    name = one_line(host[:_LONGEST_HOST_CHARACTERS])
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{port}" if port else name
