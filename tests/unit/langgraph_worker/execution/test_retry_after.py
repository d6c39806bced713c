"""How long a server asks to wait: the header, wherever the client keeps it."""

from __future__ import annotations

import email.message
import urllib.error
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from langgraph_worker.domain.retry_policy import LONGEST_WAIT_SECONDS
from langgraph_worker.execution.retry_after import retry_after
from tests.support.client_errors import BOTO, answered, answered_with, by_requests, raised_by, wrapped

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def by_urllib(*values: str) -> urllib.error.HTTPError:
    headers = email.message.Message()
    for value in values:
        headers["Retry-After"] = value
    return urllib.error.HTTPError("http://x", 429, "busy", headers, None)


def by_httpx2(value: str) -> httpx2.HTTPStatusError:
    request = httpx2.Request("POST", "http://model")
    return httpx2.HTTPStatusError("no", request=request, response=httpx2.Response(429, headers={"Retry-After": value}))


class Odd(dict[str, str]):
    """Headers that cannot be read."""

    def items(self):
        raise LookupError


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (answered(429, retry_after="12"), 12.0),
        (answered(429, retry_after=" 0.5 "), 0.5),
        (answered(429, retry_after_ms="1500"), 1.5),
        (answered(429, retry_after_ms="1500", retry_after="2"), 2.0),
        (answered(503, retry_after=at(90)), 90.0),
        (by_requests(429), 3.0),
        (by_httpx2("44"), 44.0),
        (by_urllib("60"), 60.0),
        (by_urllib("5", "60", "7"), 60.0),
        (by_urllib(at(120)), 120.0),
        (raised_by("botocore.errorfactory", "ThrottlingException", response=BOTO), 9.0),
        (raised_by("aiohttp.client_exceptions", "ClientResponseError", headers={"RETRY-AFTER": "8"}), 8.0),
        (wrapped(RuntimeError(), answered(429, retry_after="7")), 7.0),
        (ExceptionGroup("both", [answered(429, retry_after="7"), answered(429, retry_after="70")]), 70.0),
    ],
)
def test_how_long_a_server_asks_to_wait(error, seconds):
    assert retry_after(error, NOW) == seconds


def test_of_several_headers_the_longest_wait_holds():
    assert retry_after(answered_with(429, [("Retry-After", "5"), ("retry-after", "60")]), NOW) == 60.0
    assert retry_after(answered(429, retry_after="60, 5"), NOW) == 60.0
    assert retry_after(answered(429, retry_after=f"5, {at(90)}"), NOW) == 90.0
    assert retry_after(answered(429, retry_after=f"{at(90)}, {at(10)}, soon"), NOW) == 90.0


@pytest.mark.parametrize(
    "value", ["0", "0.0", "-1", "nan", "inf", "soon", "", "Mon, 99 Nov 2026 99:00:00 GMT", at(-90), at(0)]
)
def test_no_wait_and_a_time_that_has_passed_are_none(value):
    assert retry_after(answered(429, retry_after=value), NOW) is None


@pytest.mark.parametrize("value", ["604801", "1e300", "9999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_wait_is_longer_than_a_run_may_wait(value):
    assert retry_after(answered(429, retry_after=value), NOW) == LONGEST_WAIT_SECONDS


@pytest.mark.parametrize(
    "error",
    [
        answered(429),
        TimeoutError(),
        raised_by("x", "Y", response="text", headers=5),
        raised_by("x", "Y", headers=Odd(a="b")),
        raised_by("x", "Y", headers={None: None, "retry-after": None}),
    ],
)
def test_without_a_header_it_does_not_say(error):
    assert retry_after(error, NOW) is None
