"""The trading desk with the real ChatOllama, over HTTP to a stand-in server that speaks Ollama's /api/chat."""

from __future__ import annotations

import json
import queue
import re
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import ollama
import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langgraph.errors import NodeTimeoutError
from trading_desk.analysis_agent import build_analysis_agent
from trading_desk.graph import graph

ORDER = {
    "prices": [
        {"symbol": "AAPL", "date": f"2005-{month:02}-01", "price": price}
        for month, price in enumerate([100, 110, 88, 110], start=1)
    ]
}
MODEL = {"configurable": {"model": "m:1"}}
GOOD = "AAPL rose 10.00% and its deepest fall was 20%, from February 2005 to March 2005."
BAD = "AAPL rose 11% in 2005-04 and will reach 250."


class OllamaServer(ThreadingHTTPServer):
    """Has the models m:1 and m:2. Streams each answer it was given, a word at a time; without one, it waits for one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Chat)
        self.requests: list[dict[str, Any]] = []
        self.connections: list[str | None] = []
        self.answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def answer(self, *texts: str) -> None:
        for text in texts:
            self.answers.put(text)


class Chat(BaseHTTPRequestHandler):
    server: OllamaServer

    def do_POST(self) -> None:
        assert self.path == "/api/chat"
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.connections.append(self.headers["Connection"])
        if request["model"] not in ("m:1", "m:2"):
            self.reply(404, [{"error": f"model '{request['model']}' not found"}])
            return
        text = self.server.answers.get()
        if text is not None:
            self.reply(200, self.chunks(request["model"], text))

    def chunks(self, model: str, text: str) -> Iterator[dict[str, Any]]:
        same = {"model": model, "created_at": "2026-01-01T00:00:00Z"}
        for word in re.findall(r"\s*\S+\s*", text):
            yield {**same, "message": {"role": "assistant", "content": word}, "done": False}
        counts = {"prompt_eval_count": 10, "eval_count": 5}
        yield {**same, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", **counts}

    def reply(self, status: int, lines: Any) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        for line in lines:
            self.wfile.write(json.dumps(line).encode() + b"\n")

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Not into the test's output."""


@pytest.fixture
def server(monkeypatch):
    with OllamaServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.delenv("OLLAMA_MODEL", raising=False)
        monkeypatch.setenv("OLLAMA_HOST", f"http://127.0.0.1:{running.server_port}")
        yield running
        running.answers.put(None)
        running.shutdown()
        thread.join()


async def test_the_question_and_the_answer(server):
    server.answer(GOOD)
    result = await graph.ainvoke(ORDER, MODEL)
    assert (result["summary"], result["model"]) == (GOOD, "m:1")
    (request,) = server.requests
    assert request["model"] == "m:1"
    assert request["options"]["temperature"] == 0
    assert server.connections == ["close"]  # nothing is left open after the answer
    assert request["options"]["num_predict"] == 300
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert "AAPL: 4 monthly prices from 2005-01 (100.00) to 2005-04 (110.00)" in request["messages"][1]["content"]


async def test_the_second_question_names_the_wrong_numbers(server):
    server.answer(BAD, GOOD)
    result = await graph.ainvoke(ORDER, MODEL)
    assert result["summary_source"] == "model"
    first, second = server.requests
    assert second["messages"][:2] == first["messages"]
    assert [(message["role"], message["content"]) for message in second["messages"][2:]] == [
        ("assistant", BAD),
        (
            "user",
            "Your text cannot be used: these numbers are not in the figures: 11%, 250. "
            "Write it again with numbers from the figures only.",
        ),
    ]


async def test_token_usage_is_there_to_be_counted(server):
    server.answer(BAD, GOOD)
    usage = UsageMetadataCallbackHandler()
    await graph.ainvoke(ORDER, MODEL | {"callbacks": [usage]})
    counted = usage.usage_metadata["m:1"]
    assert (counted["input_tokens"], counted["output_tokens"], counted["total_tokens"]) == (20, 10, 30)


@pytest.mark.parametrize(("config", "asked"), [({}, "m:1"), ({"configurable": {"model": "m:2"}}, "m:2")])
async def test_the_run_chooses_before_the_environment(server, monkeypatch, config, asked):
    monkeypatch.setenv("OLLAMA_MODEL", "m:1")
    server.answer(GOOD)
    assert (await graph.ainvoke(ORDER, config))["model"] == asked
    assert [request["model"] for request in server.requests] == [asked]


async def test_a_model_that_the_server_does_not_have(server):
    with pytest.raises(ollama.ResponseError, match="model 'other' not found") as raised:
        await graph.ainvoke(ORDER, {"configurable": {"model": "other"}})
    assert raised.value.status_code == 404


async def test_no_server(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("OLLAMA_HOST", f"http://127.0.0.1:{port}")
    with pytest.raises(httpx.ConnectError):
        await graph.ainvoke(ORDER, MODEL)


async def test_an_answer_that_never_comes(server):
    agent = build_analysis_agent(limit=timedelta(seconds=0.5))
    figures = (await graph.ainvoke(ORDER))["figures"]
    with pytest.raises(NodeTimeoutError, match="ask_model"):  # the server has no answer, and keeps the line open
        await agent.ainvoke({"figures": figures}, MODEL)
