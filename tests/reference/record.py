"""Records what ``langgraph dev`` answers to the cases. Run it by hand, from the root of the repository::

    python -m venv ref && ref/bin/pip install "langgraph-cli[inmem]"
    ref/bin/python -m tests.reference.record [project ...]

It is no part of the suite, which never imports it: the server's licence forbids it as a dependency. Only its answers
are kept, with the versions of its packages, in ``recorded/<project>.json``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from langgraph_sdk import get_client

from tests.reference.cases import PROJECTS, RECORDED, Conversation, conversations, project_names
from tests.reference.outcomes import order, outcome, plain

_PACKAGES = (
    "langgraph",
    "langgraph-api",
    "langgraph-cli",
    "langgraph-runtime-inmem",
    "langgraph-sdk",
    "langchain-core",
)
_START_SECONDS = 120


def main(names: list[str]) -> None:
    """Record these projects, or all."""
    for name in names or project_names():
        try:
            asyncio.run(_record(name))
            print(f"{name}: recorded", flush=True)  # noqa: T201 - a tool for a terminal
        except SystemExit as error:
            print(f"{name}: {error}", flush=True)  # noqa: T201


async def _record(project: str) -> None:
    async with _server(project) as client:
        answers = {one.name: await _converse(client, one) for one in conversations(project)}
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    text = json.dumps({"versions": versions, "conversations": answers}, indent=1, sort_keys=True, ensure_ascii=False)
    (RECORDED / f"{project}.json").write_text(f"{text}\n", "utf-8")


@contextlib.asynccontextmanager
async def _server(project: str) -> AsyncIterator[Any]:
    with tempfile.TemporaryDirectory() as place, socket.socket() as free:
        folder = Path(place) / project
        shutil.copytree(PROJECTS / project, folder, ignore=shutil.ignore_patterns("__pycache__"))
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--no-browser", "--no-reload"]
        log = (Path(place) / "log").open("wb")
        process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
            [*command, "--host", "127.0.0.1", "--port", port],
            cwd=folder,
            env={**os.environ, "LANGSMITH_TRACING": "false", "PYTHONPATH": ""},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            client = get_client(url=f"http://127.0.0.1:{port}")
            await _ready(client, process)
            yield client
        except SystemExit:
            print((Path(place) / "log").read_text()[-3000:])  # noqa: T201
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            log.close()


async def _ready(client: Any, process: subprocess.Popen[bytes]) -> None:
    for _ in range(_START_SECONDS * 2):
        if process.poll() is not None:
            break
        with contextlib.suppress(Exception):
            await client.assistants.search(limit=1)
            return
        await asyncio.sleep(0.5)
    raise SystemExit("langgraph dev does not start")


async def _converse(client: Any, conversation: Conversation) -> list[dict[str, Any]]:
    thread = (await client.threads.create())["thread_id"]
    return [await _turn(client, thread, turn) for turn in conversation.turns]


async def _turn(client: Any, thread: str, turn: dict[str, Any]) -> dict[str, Any]:
    asked = {key: turn[key] for key in ("context", "config", "interrupt_before", "command", "input") if key in turn}
    if "answers" in turn:
        asked["command"] = {"resume": await _resume(client, thread, turn["answers"])}
    values: Any = None
    custom: list[Any] = []
    error: tuple[str, str] | None = None
    try:
        async for part in client.runs.stream(thread, turn["graph"], stream_mode=["values", "custom"], **asked):
            if part.event == "values":
                values = part.data
            elif part.event == "custom":
                custom.append(part.data)
            elif part.event == "error":
                error = (part.data["error"], part.data["message"])
    except Exception as refusal:  # noqa: BLE001 - a refused request is an answer too
        error = (type(refusal).__name__, str(refusal))
    if error is not None:
        return outcome("error", custom=custom, error=error)
    state = await client.threads.get_state(thread)
    if not state["next"] and not state["interrupts"]:
        return outcome("success", values, custom=custom)
    questions = [question["value"] for question in state["interrupts"]]
    found = outcome("interrupted", values, questions=questions, custom=custom)
    return found if questions else {**found, "next": sorted(state["next"])}


async def _resume(client: Any, thread: str, answers: list[Any]) -> Any:
    state = await client.threads.get_state(thread)
    asked = sorted(state["interrupts"], key=lambda question: order(plain(question["value"])))
    if len(asked) == 1:
        return answers[0]
    return {question["id"]: answer for question, answer in zip(asked, answers, strict=False)}


if __name__ == "__main__":
    main(sys.argv[1:])
