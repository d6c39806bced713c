"""How much, how often, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from langgraph_worker.settings.model import WorkerSettings
from tests.support.fleet_api import FleetApi, problem


async def test_a_body_that_is_too_large_is_not_read(api: FleetApi) -> None:
    api.settings = WorkerSettings(LANGGRAPH_WORKER_MAX_MESSAGE_BYTES=10_000)
    client = api.client("operator")
    most = 10_000 + 65_536
    headers = {"Content-Type": "application/json"}
    detail = problem(await client.post("/runs", content=b" " * (most + 1), headers=headers), 413)
    assert detail == "the body is larger than 75,536 bytes (LANGGRAPH_WORKER_MAX_MESSAGE_BYTES)"
    assert (await client.post("/runs", content=b"{}".ljust(most), headers=headers)).status_code == 202
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1000
            yield b" " * 1000

    problem(await client.post("/runs", content=endless(), headers=headers), 413)
    assert read <= most + 2000
    for length in ("-1", "ten", "9" * 30):
        problem(await client.post("/runs", content=b"{}", headers={**headers, "Content-Length": length}), 413)


async def test_nothing_of_a_strangers_body_is_read(api: FleetApi) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    problem(await api.client(None).post("/runs", content=body()), 401)
    problem(await api.client("nobody").post("/runs", content=body()), 401)


async def test_a_token_that_asks_too_often_waits(api: FleetApi) -> None:
    api.settings = WorkerSettings(LANGGRAPH_WORKER_API_REQUESTS_PER_SECOND=2)
    app = api.app()
    client, other = api.client("viewer", app), api.client("operator", app)
    statuses = [(await client.get("/pauses")).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    answer = await client.get("/pauses")
    assert "may ask 2 times a second" in problem(answer, 429)
    assert answer.headers["retry-after"] == "1"
    assert (await other.get("/pauses")).status_code == 200
    api.now += 1.0
    assert [(await client.get("/pauses")).status_code for _ in range(3)] == [200, 200, 429]


async def test_a_request_that_is_not_answered_in_time_ends(api: FleetApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langgraph_worker.api.app._SECONDS", 0.05)

    class Hangs:
        async def find(self, *_: object) -> None:
            await asyncio.Event().wait()

    api.views = Hangs()  # type: ignore[assignment]
    detail = problem(await api.client("viewer").get("/runs"), 504)
    assert detail == "the fleet has not answered within 0.05 s. What was asked for may happen nevertheless"


async def test_while_the_tokens_cannot_be_read_nobody_is_let_in(api: FleetApi) -> None:
    app = api.app()
    client = api.client("admin", app)
    assert (await client.get("/pauses")).status_code == 200
    api.tokens.write_text("[[")
    api.now += 1.0
    detail = problem(await client.get("/pauses"), 503)
    assert detail == "the file of tokens cannot be read, so nobody is let in; the API's log says why"
    assert (await client.get("http://api/healthz")).status_code == 200


async def test_health_reads_no_body(api: FleetApi) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    assert (await api.client(None).post("http://api/healthz", content=body())).status_code == 405
    assert (await api.client(None).request("GET", "http://api/healthz", content=body())).status_code == 200


async def test_a_query_that_is_too_long_is_refused(api: FleetApi) -> None:
    client = api.client("viewer")
    query = "&".join(f"a{number}=1" for number in range(2_000))
    assert problem(await client.get(f"/runs?{query}"), 414) == "the query is longer than 8,192 bytes"


async def test_a_rate_below_one_a_second_lets_one_through(api: FleetApi) -> None:
    api.settings = WorkerSettings(LANGGRAPH_WORKER_API_REQUESTS_PER_SECOND=0.1)
    client = api.client("viewer", api.app())
    assert (await client.get("/pauses")).status_code == 200
    answer = await client.get("/pauses")
    assert "Ask again in 10 s" in problem(answer, 429)
    assert answer.headers["retry-after"] == "10"
    api.now += 10.0
    assert (await client.get("/pauses")).status_code == 200
