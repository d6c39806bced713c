"""Exceptions as the clients of servers raise them."""

from __future__ import annotations

from typing import Any

import httpx
import requests

REQUEST = httpx.Request("POST", "http://model/v1/chat")


def answered(status: int, **headers: str) -> httpx.HTTPStatusError:
    """An answer of httpx; ``_`` in a header's name stands for ``-``."""
    return answered_with(status, [(name.replace("_", "-"), value) for name, value in headers.items()])


def answered_with(status: int, headers: list[tuple[str, str]]) -> httpx.HTTPStatusError:
    """An answer of httpx whose headers may repeat a name."""
    return httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(status, headers=headers))


def raised_by(package: str, name: str, *bases: type[BaseException], **about: Any) -> Any:
    """As a client raises it that is not installed here."""
    error = type(name, bases or (Exception,), {"__module__": package})("no")
    for key, value in about.items():
        setattr(error, key, value)
    return error


def wrapped(error: Any, cause: BaseException) -> Any:
    """``raise error from cause``."""
    error.__cause__ = cause
    return error


def by_requests(status: int) -> requests.HTTPError:
    """An answer of requests that asks to wait for 3 s."""
    answer = requests.Response()
    answer.status_code = status
    answer.headers["Retry-After"] = "3"
    return requests.HTTPError("no", response=answer)


BOTO = {"ResponseMetadata": {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": "9"}}}
"""An answer of AWS, as botocore has it."""
