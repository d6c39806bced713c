"""The class of an exception: by types and codes, as clients raise them."""

from __future__ import annotations

import asyncio
import errno
import http.client
import socket
import ssl
import urllib.error
from types import SimpleNamespace

import httpx
import httpx2
import ollama
import pytest
import requests
import urllib3
from langchain_core import exceptions as langchain
from langgraph.errors import GraphRecursionError, NodeTimeoutError

from langgraph_worker.domain.retry_policy import ErrorClass
from langgraph_worker.execution.error_classes import error_class
from langgraph_worker.execution.exception_rules import can_retry_help
from tests.support.client_errors import BOTO, answered, by_requests, raised_by, wrapped

CLASSES = [
    (langchain.ContextOverflowError("too long"), ErrorClass.CONTEXT_LENGTH),
    (
        raised_by("openai", "BadRequestError", status_code=400, code="context_length_exceeded"),
        ErrorClass.CONTEXT_LENGTH,
    ),
    (answered(429), ErrorClass.RATE_LIMIT),
    (ollama.ResponseError("busy", 429), ErrorClass.RATE_LIMIT),
    (by_requests(429), ErrorClass.RATE_LIMIT),
    (urllib.error.HTTPError("http://x", 429, "busy", None, None), ErrorClass.RATE_LIMIT),  # type: ignore[arg-type]
    (raised_by("google.genai.errors", "ClientError", code=429), ErrorClass.RATE_LIMIT),
    (raised_by("aiohttp.client_exceptions", "ClientResponseError", status=429), ErrorClass.RATE_LIMIT),
    (raised_by("botocore.errorfactory", "ThrottlingException", response=BOTO), ErrorClass.RATE_LIMIT),
    (raised_by("openai", "RateLimitError", status_code=429, code="insufficient_quota"), ErrorClass.FINAL),
    (answered(500), ErrorClass.SERVER_ERROR),
    (raised_by("anthropic", "OverloadedError", status_code=529), ErrorClass.SERVER_ERROR),
    (answered(504), ErrorClass.TIMEOUT),
    (answered(408), ErrorClass.TIMEOUT),
    (TimeoutError(), ErrorClass.TIMEOUT),
    (httpx.ReadTimeout("slow"), ErrorClass.TIMEOUT),
    (requests.ReadTimeout("slow"), ErrorClass.TIMEOUT),
    (NodeTimeoutError("a", 5.0, kind="run", run_timeout=5.0), ErrorClass.TIMEOUT),
    (wrapped(raised_by("openai", "APITimeoutError"), httpx.ReadTimeout("slow")), ErrorClass.TIMEOUT),
    (httpx.ConnectTimeout("nobody"), ErrorClass.CONNECTION),
    (requests.ConnectTimeout("nobody"), ErrorClass.CONNECTION),
    (wrapped(raised_by("openai", "APITimeoutError"), httpx.ConnectTimeout("nobody")), ErrorClass.CONNECTION),
    (ConnectionRefusedError(), ErrorClass.CONNECTION),
    (socket.gaierror(-2, "unknown"), ErrorClass.CONNECTION),
    (urllib.error.URLError(ConnectionRefusedError()), ErrorClass.CONNECTION),
    (httpx.ConnectError("refused"), ErrorClass.CONNECTION),
    (httpx.RemoteProtocolError("cut off"), ErrorClass.CONNECTION),
    (requests.ConnectionError("refused"), ErrorClass.CONNECTION),
    (raised_by("anthropic", "APIConnectionError"), ErrorClass.CONNECTION),
    (answered(400), ErrorClass.FINAL),
    (answered(401), ErrorClass.FINAL),
    (answered(409), ErrorClass.FINAL),
    (ollama.ResponseError("no such model", 404), ErrorClass.FINAL),
    (httpx.UnsupportedProtocol("ftp"), ErrorClass.FINAL),
    (ValueError("429 Too Many Requests: rate limit, timeout, connection"), ErrorClass.FINAL),
    (RuntimeError(), ErrorClass.FINAL),
    (GraphRecursionError(), ErrorClass.FINAL),
    (asyncio.CancelledError(), ErrorClass.FINAL),
    (SystemExit(429), ErrorClass.FINAL),
    (wrapped(RuntimeError("the desk is closed"), answered(429)), ErrorClass.RATE_LIMIT),
    (wrapped(KeyError("price"), answered(429)), ErrorClass.FINAL),
    (wrapped(RuntimeError(), ExceptionGroup("both", [httpx.ConnectError("no")])), ErrorClass.CONNECTION),
    (ExceptionGroup("both", [TimeoutError(), answered(429)]), ErrorClass.RATE_LIMIT),
    (ExceptionGroup("both", [TimeoutError(), ValueError()]), ErrorClass.FINAL),
    (raised_by("openai", "RateLimitError", status_code=429, code=None, type="insufficient_quota"), ErrorClass.FINAL),
    (raised_by("openai", "RateLimitError", status_code=429, body={"type": "insufficient_quota"}), ErrorClass.FINAL),
    (
        raised_by("anthropic", "RateLimitError", status_code=429, error_code="enforced_spend_limit_reached"),
        ErrorClass.FINAL,
    ),
    (answered(425), ErrorClass.FINAL),
]


def in_anthropics_stream(code: str) -> Exception:
    body = {"type": "error", "error": {"type": code, "message": "no"}}
    return raised_by("anthropic", "APIStatusError", status_code=200, body=body)


def in_openais_stream(code: str | None, kind: str | None = None) -> Exception:
    return raised_by("openai", "APIError", code=code, type=kind, body={"code": code, "type": kind, "message": "no"})


def in_bedrocks_stream(code: str) -> Exception:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {}}}
    return raised_by("botocore.exceptions", "EventStreamError", response=answer)


IN_STREAMS = [
    (in_anthropics_stream("overloaded_error"), ErrorClass.SERVER_ERROR),
    (in_anthropics_stream("rate_limit_error"), ErrorClass.RATE_LIMIT),
    (in_anthropics_stream("api_error"), ErrorClass.SERVER_ERROR),
    (in_anthropics_stream("timeout_error"), ErrorClass.TIMEOUT),
    (in_anthropics_stream("invalid_request_error"), ErrorClass.FINAL),
    (in_anthropics_stream("a code of next year"), ErrorClass.FINAL),
    (in_openais_stream("rate_limit_exceeded", "tokens"), ErrorClass.RATE_LIMIT),
    (in_openais_stream("server_error", "server_error"), ErrorClass.SERVER_ERROR),
    (in_openais_stream(None, "server_error"), ErrorClass.SERVER_ERROR),
    (in_openais_stream("context_length_exceeded", "invalid_request_error"), ErrorClass.CONTEXT_LENGTH),
    (in_openais_stream("insufficient_quota", "insufficient_quota"), ErrorClass.FINAL),
    (in_openais_stream("502"), ErrorClass.SERVER_ERROR),
    (in_openais_stream("429"), ErrorClass.RATE_LIMIT),
    (in_openais_stream(None), ErrorClass.FINAL),
    (in_bedrocks_stream("throttlingException"), ErrorClass.RATE_LIMIT),
    (in_bedrocks_stream("modelTimeoutException"), ErrorClass.TIMEOUT),
    (in_bedrocks_stream("modelStreamErrorException"), ErrorClass.SERVER_ERROR),
    (in_bedrocks_stream("validationException"), ErrorClass.FINAL),
]


@pytest.mark.parametrize(("error", "kind"), IN_STREAMS, ids=[str(number) for number in range(len(IN_STREAMS))])
def test_an_error_within_a_stream_is_known_by_its_code(error, kind):
    assert error_class(error) is kind


HTTPX = {
    "ConnectError": ErrorClass.CONNECTION,
    "ConnectTimeout": ErrorClass.CONNECTION,
    "PoolTimeout": ErrorClass.CONNECTION,
    "ReadError": ErrorClass.CONNECTION,
    "WriteError": ErrorClass.CONNECTION,
    "CloseError": ErrorClass.CONNECTION,
    "ProxyError": ErrorClass.CONNECTION,
    "RemoteProtocolError": ErrorClass.CONNECTION,
    "ReadTimeout": ErrorClass.TIMEOUT,
    "WriteTimeout": ErrorClass.TIMEOUT,
    "UnsupportedProtocol": ErrorClass.FINAL,
    "LocalProtocolError": ErrorClass.FINAL,
    "DecodingError": ErrorClass.FINAL,
    "TooManyRedirects": ErrorClass.FINAL,
    "InvalidURL": ErrorClass.FINAL,
}


@pytest.mark.parametrize("client", ["openai", "anthropic", "groq"])
@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("name", HTTPX)
def test_both_httpx_are_alike_alone_and_below_a_client_of_models(library, name, client):
    error = getattr(library, name)("no")
    assert error_class(error) is HTTPX[name]
    is_timeout = isinstance(error, library.TimeoutException)
    around = raised_by(client, "APITimeoutError" if is_timeout else "APIConnectionError")
    if name not in ("DecodingError", "TooManyRedirects"):  # of which no class is known
        assert error_class(wrapped(around, error)) is HTTPX[name]


def test_an_answer_of_httpx2_has_a_status_and_asks_for_a_wait():
    request = httpx2.Request("POST", "http://model")
    error = httpx2.HTTPStatusError("no", request=request, response=httpx2.Response(503))
    assert error_class(error) is ErrorClass.SERVER_ERROR


AIOHTTP = "aiohttp.client_exceptions"
OF_AIOHTTP = type("ClientConnectionError", (Exception,), {"__module__": AIOHTTP})
SLOW_AIOHTTP = type("ServerTimeoutError", (OF_AIOHTTP, TimeoutError), {"__module__": AIOHTTP})
BROKEN = [
    (requests.exceptions.ChunkedEncodingError("broken"), ErrorClass.CONNECTION),
    (requests.exceptions.RetryError("too many 503"), ErrorClass.SERVER_ERROR),
    (requests.exceptions.ContentDecodingError("no gzip"), ErrorClass.FINAL),
    (urllib3.exceptions.ProtocolError("broken"), ErrorClass.CONNECTION),
    (urllib3.exceptions.ConnectTimeoutError("nobody"), ErrorClass.CONNECTION),
    (urllib3.exceptions.ReadTimeoutError(None, "/", "slow"), ErrorClass.TIMEOUT),  # type: ignore[arg-type]
    (http.client.IncompleteRead(b"x"), ErrorClass.CONNECTION),
    (http.client.RemoteDisconnected("x"), ErrorClass.CONNECTION),
    (asyncio.IncompleteReadError(b"x", 9), ErrorClass.CONNECTION),
    (OSError(errno.ENETUNREACH, "no network"), ErrorClass.CONNECTION),
    (OSError(errno.EHOSTUNREACH, "no route"), ErrorClass.CONNECTION),
    (OSError(errno.ETIMEDOUT, "slow"), ErrorClass.TIMEOUT),
    (OSError(errno.ENOSPC, "disk full"), ErrorClass.FINAL),
    (FileNotFoundError(errno.ENOENT, "gone"), ErrorClass.FINAL),
    (urllib.error.URLError(OSError(errno.ENETUNREACH, "no network")), ErrorClass.CONNECTION),
    (urllib.error.URLError(ssl.SSLEOFError(8, "EOF")), ErrorClass.CONNECTION),
    (urllib.error.URLError(ssl.SSLCertVerificationError(1, "self-signed")), ErrorClass.FINAL),
    (urllib.error.URLError(TimeoutError()), ErrorClass.TIMEOUT),
    (urllib.error.URLError("no host given"), ErrorClass.FINAL),
    (ssl.SSLZeroReturnError(), ErrorClass.CONNECTION),
    (raised_by(AIOHTTP, "ClientPayloadError"), ErrorClass.CONNECTION),
    (raised_by(AIOHTTP, "ServerDisconnectedError", OF_AIOHTTP), ErrorClass.CONNECTION),
    (SLOW_AIOHTTP(), ErrorClass.TIMEOUT),
    (raised_by(AIOHTTP, "SocketTimeoutError", SLOW_AIOHTTP), ErrorClass.TIMEOUT),
    (raised_by(AIOHTTP, "ConnectionTimeoutError", SLOW_AIOHTTP), ErrorClass.CONNECTION),
    (raised_by("botocore.exceptions", "ResponseStreamingError"), ErrorClass.CONNECTION),
]


@pytest.mark.parametrize(("error", "kind"), BROKEN, ids=[f"{type(e).__name__}-{i}" for i, (e, _) in enumerate(BROKEN)])
def test_a_connection_that_broke_and_one_that_was_slow(error, kind):
    assert error_class(error) is kind


def test_urllib3_has_repeated_what_it_was_raised_from():
    slow = urllib3.exceptions.ReadTimeoutError(None, "/", "slow")  # type: ignore[arg-type]
    for cause, kind in ((slow, ErrorClass.TIMEOUT), (urllib3.exceptions.ResponseError("503"), ErrorClass.SERVER_ERROR)):
        error = urllib3.exceptions.MaxRetryError(None, "/", cause)  # type: ignore[arg-type]
        assert error_class(wrapped(error, cause)) is kind


class Stopped(BaseException):
    """A graph's own, which is no Exception: nobody is meant to handle it."""


AWAY = httpx.ConnectError("away")
CHAINS = [
    (wrapped(RuntimeError(), AWAY), ErrorClass.CONNECTION),
    (wrapped(Stopped(), AWAY), ErrorClass.FINAL),
    (wrapped(RuntimeError(), wrapped(Stopped(), AWAY)), ErrorClass.FINAL),
    (raised_by("graph", "Coded", BaseException, code="rate_limit_exceeded"), ErrorClass.FINAL),
    (wrapped(RuntimeError(), wrapped(KeyError("price"), AWAY)), ErrorClass.FINAL),
    (wrapped(RuntimeError(), wrapped(RuntimeError(), AWAY)), ErrorClass.CONNECTION),
    (wrapped(RuntimeError(), wrapped(answered(429), AWAY)), ErrorClass.RATE_LIMIT),
    (wrapped(RuntimeError(), ExceptionGroup("both", [AWAY, ValueError()])), ErrorClass.FINAL),
    (wrapped(RuntimeError(), ExceptionGroup("both", [AWAY, answered(429)])), ErrorClass.RATE_LIMIT),
    (ExceptionGroup("both", [wrapped(RuntimeError(), AWAY), wrapped(ValueError(), AWAY)]), ErrorClass.CONNECTION),
    (ExceptionGroup("both", [AWAY, wrapped(RuntimeError(), KeyError("price"))]), ErrorClass.FINAL),
    (BaseExceptionGroup("both", [AWAY, Stopped()]), ErrorClass.FINAL),
]


@pytest.mark.parametrize(("error", "kind"), CHAINS, ids=[str(number) for number in range(len(CHAINS))])
def test_the_first_in_the_chain_that_says_something_decides(error, kind):
    assert error_class(error) is kind


def test_a_chain_may_be_long():
    error: Exception = AWAY
    for _ in range(5_000):
        error = wrapped(RuntimeError(), error)
    assert error_class(error) is ErrorClass.CONNECTION


def test_a_group_that_leads_back_to_itself_ends():
    inner = RuntimeError()
    group = ExceptionGroup("both", [inner, AWAY])
    inner.__cause__ = group
    assert error_class(group) is ErrorClass.FINAL


class Raising(Exception):
    """Each of its properties raises."""

    def __getattr__(self, name: str) -> object:
        raise KeyError(name)

    @property
    def code(self) -> object:
        raise IndexError

    @property
    def response(self) -> object:
        raise RuntimeError


def test_a_property_that_raises_says_nothing():
    assert error_class(Raising()) is ErrorClass.FINAL
    assert can_retry_help(Raising())
    assert error_class(wrapped(Raising(), AWAY)) is ErrorClass.CONNECTION
    own = type("Own", (Raising, ConnectionError), {})
    assert error_class(own()) is ErrorClass.CONNECTION
    assert error_class(raised_by("graph", "Own", response=SimpleNamespace(status_code=503))) is ErrorClass.SERVER_ERROR


@pytest.mark.parametrize(
    ("error", "kind"), CLASSES, ids=[f"{type(e).__name__}-{k.value}-{i}" for i, (e, k) in enumerate(CLASSES)]
)
def test_the_class_of_an_exception(error, kind):
    assert error_class(error) is kind


@pytest.mark.skipif(not hasattr(langchain, "ModelError"), reason="this langchain-core has no such types")
@pytest.mark.parametrize(
    ("name", "kind", "retriable"),
    [
        ("ModelRateLimitError", ErrorClass.RATE_LIMIT, True),
        ("ModelTimeoutError", ErrorClass.TIMEOUT, True),
        ("ModelConnectionError", ErrorClass.CONNECTION, True),
        ("ModelAPIError", ErrorClass.SERVER_ERROR, True),
        ("ContextOverflowError", ErrorClass.CONTEXT_LENGTH, False),
        ("ModelAuthenticationError", ErrorClass.FINAL, False),
        ("ModelNotFoundError", ErrorClass.FINAL, False),
        ("ModelInvalidRequestError", ErrorClass.FINAL, False),
    ],
)
def test_langchains_own_types(name, kind, retriable):
    error = getattr(langchain, name)("no")
    assert error_class(error) is kind
    assert can_retry_help(error) is retriable


def test_what_the_worker_repeats_may_be_retried_by_airflow_too_unless_only_another_model_helps():
    for error, kind in [*CLASSES, *IN_STREAMS, *BROKEN, *CHAINS]:
        if kind not in (ErrorClass.FINAL, ErrorClass.CONTEXT_LENGTH):
            assert can_retry_help(error), error
    assert not can_retry_help(langchain.ContextOverflowError())
    quota = "insufficient_quota"
    for used_up in ({"code": quota}, {"type": quota}, {"body": {"error": {"code": quota}}}):
        assert not can_retry_help(raised_by("openai", "RateLimitError", status_code=429, **used_up))
    assert not can_retry_help(in_anthropics_stream("authentication_error"))
    assert not can_retry_help(wrapped(RuntimeError(), in_openais_stream("insufficient_quota")))
    assert not can_retry_help(wrapped(RuntimeError(), in_anthropics_stream("authentication_error")))
    assert not can_retry_help(in_openais_stream("context_length_exceeded", "invalid_request_error"))


def test_a_cause_that_goes_in_circles_ends():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert error_class(first) is ErrorClass.FINAL
