"""A server that is away is named, in the words of the clients that graphs use."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import requests

from langgraph_worker.domain.exception_texts import described
from langgraph_worker.domain.unreachable_hosts import unreachable_host


@pytest.fixture
def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
    return port


def raised(call: Any, *arguments: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client has its own
        call(*arguments)
    return caught.value


def secret_url(port: int) -> str:
    return f"http://user:geheim@127.0.0.1:{port}/geheim?key=geheim"


@pytest.mark.parametrize("get", [httpx.get, requests.get])
def test_host_and_port_are_named_and_nothing_else_of_the_address(get: Any, closed_port: int) -> None:
    hint = unreachable_host(raised(get, secret_url(closed_port)))
    assert hint.startswith(f" (no connection to 127.0.0.1:{closed_port}: check that the server runs")
    assert "geheim" not in hint


def test_a_client_that_hides_the_request_names_it_all_the_same(closed_port: int) -> None:
    def chat() -> None:
        try:
            httpx.get(f"http://127.0.0.1:{closed_port}")
        except httpx.ConnectError:
            raise ConnectionError("Failed to connect to Ollama. Please check that it is running") from None

    text = described(raised(chat), with_text=True)
    assert text.startswith(
        "ConnectionError: Failed to connect to Ollama. Please check that it is running (no connection"
    )
    assert f"127.0.0.1:{closed_port}" in text


def test_the_real_clients_of_models(closed_port: int) -> None:
    ollama = pytest.importorskip("ollama")
    error = raised(ollama.Client(f"http://127.0.0.1:{closed_port}").generate, "model", "hello")
    assert f"no connection to 127.0.0.1:{closed_port}" in described(error, with_text=True)


def test_a_time_out_is_not_said_to_be_a_missing_connection() -> None:
    request = httpx.Request("POST", "https://models.example/v1/chat?key=geheim")
    hint = unreachable_host(httpx.ReadTimeout("timed out", request=request))
    assert hint.startswith(" (no answer in time from models.example:443: ")


def test_a_server_that_has_answered_was_reached() -> None:
    request = httpx.Request("GET", "http://models.example")
    response = httpx.Response(503, request=request)
    assert unreachable_host(httpx.HTTPStatusError("503", request=request, response=response)) == ""


@pytest.mark.parametrize("error", [ValueError("x"), ConnectionError("x"), httpx.ConnectError("x"), TimeoutError()])
def test_without_a_server_nothing_is_claimed(error: Exception) -> None:
    assert unreachable_host(error) == ""
    assert described(error, with_text=True).endswith(str(error) or "TimeoutError")


def test_an_error_of_the_program_beside_a_request_is_not_blamed_on_the_server() -> None:
    error = ValueError("no such model")
    error.request = httpx.Request("GET", "http://models.example")  # type: ignore[attr-defined]
    assert unreachable_host(error) == ""


def test_a_cause_is_named_and_a_failure_that_was_handled_before_is_not(closed_port: int) -> None:
    def tool(*, is_cause: bool) -> None:
        try:
            httpx.get(f"http://127.0.0.1:{closed_port}")
        except httpx.ConnectError as error:
            if is_cause:
                raise ValueError("the tool failed") from error
            raise ValueError("the fallback has no entry")  # noqa: B904 - as graphs do

    assert f"127.0.0.1:{closed_port}" in unreachable_host(raised(lambda: tool(is_cause=True)))
    assert unreachable_host(raised(lambda: tool(is_cause=False))) == ""


def test_a_text_is_left_out_where_texts_are_confidential(closed_port: int) -> None:
    assert described(raised(httpx.get, secret_url(closed_port)), with_text=False) == "ConnectError"


@pytest.mark.parametrize("url", ["http://[::1", "http://h:99999999/", object(), "http://\x1b[2J\n:80/"])
def test_an_address_that_is_none_costs_the_hint_alone(url: Any) -> None:
    error = ConnectionError("x")
    error.request = SimpleNamespace(url=url)  # type: ignore[attr-defined]
    assert unreachable_host(error).isprintable()


def test_an_endless_chain_ends() -> None:
    first, second = ConnectionError("a"), ConnectionError("b")
    first.__context__, second.__context__ = second, first
    assert unreachable_host(first) == ""
