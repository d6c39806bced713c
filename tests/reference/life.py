"""One process: a worker without Kafka that plays conversations, and may be killed in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.project import load_project
from langgraph_worker.runtime.local_worker import LocalWorker, local_worker
from langgraph_worker.settings.load import load_settings
from tests.reference.cases import Conversation
from tests.reference.job import Job
from tests.reference.outcomes import order, outcome, plain
from workflow_events.results import Interrupt, ResultStatus, WorkflowResultEvent

_LEASE_SECONDS = 60.0
_BREAKPOINT = "breakpoint"  # so the ids of breakpoints begin


class Watcher:
    """Takes the progress of runs, and kills the process at one of its messages.

    :ivar custom: what nodes wrote to the stream since it was last emptied.
    """

    def __init__(self, dies_at: int | None) -> None:
        self._left = dies_at
        self.custom: list[Any] = []

    def offer(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes | str | None]]) -> bool:
        message = json.loads(value)
        if message["kind"] == "custom":
            self.custom.append(message["data"])
        if message["kind"] in ("node_started", "node_finished") and self._left is not None:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return True

    def close(self, timeout: float) -> None:
        pass


def live(job: Job) -> None:
    """Play the job's conversations and write their outcomes."""
    os.chdir(job.project)
    given = {"store_url": job.url, "worker_id": f"life-{job.life}", "lease_seconds": str(_LEASE_SECONDS)}
    settings = load_settings({**given, "langgraph_json": str(job.project / "langgraph.json")})
    graphs = load_project(settings)
    watcher = Watcher(job.dies_at)
    # On SQLite the lock proves that the process before is gone; elsewhere its leases have to run out.
    ahead = timedelta(seconds=2 * _LEASE_SECONDS * job.life)

    async def main() -> dict[str, list[dict[str, Any]]]:
        nodes = NodeThreads(8)
        asyncio.get_running_loop().set_default_executor(nodes)
        async with local_worker(settings, graphs, nodes, watcher, lambda: datetime.now(UTC) + ahead) as worker:
            return {one.name: await _converse(worker, watcher, one) for one in job.conversations}

    job.outcomes.write_text(json.dumps(asyncio.run(main())))


async def _converse(worker: LocalWorker, watcher: Watcher, conversation: Conversation) -> list[dict[str, Any]]:
    found = []
    questions: list[Interrupt] = []
    for number, turn in enumerate(conversation.turns):
        watcher.custom.clear()
        result = await worker.ask(_event(conversation, number, turn, questions))
        questions = result.interrupts
        found.append(_outcome(result, list(watcher.custom)))
    return found


def _event(
    conversation: Conversation, number: int, turn: dict[str, Any], questions: Sequence[Interrupt]
) -> dict[str, Any]:
    """The event of a turn: the same in each life."""
    body: dict[str, Any] = {
        "event_id": str(uuid5(NAMESPACE_URL, f"{conversation.id} {number}")),
        "event_type": "workflow.triggered",
        "source": "langgraph",
        "workflow_id": conversation.project,
        "workflow_run_id": conversation.name,
        "graph": turn["graph"],
        "thread_id": conversation.name,
        "config": dict(turn.get("config", {})),
    }
    if "input" in turn or "command" in turn:
        body["payload"] = {"command": turn["command"]} if "command" in turn else {"data": turn["input"]}
    if "context" in turn:
        body["context"] = turn["context"]
    if "interrupt_before" in turn:
        body["config"]["interrupt_before"] = turn["interrupt_before"]
    if "answers" in turn:
        asked = sorted(questions, key=lambda question: order(plain(question.value)))
        answers = zip(asked, turn["answers"], strict=False)
        body["answers"] = [{"interrupt_id": question.id, "value": value} for question, value in answers]
    if turn.get("goes_on"):
        body["answers"] = [{"interrupt_id": question.id} for question in questions]
    if "answers" in body:
        body |= {"event_type": "workflow.resumed", "round": number}
    return body


def _outcome(result: WorkflowResultEvent, custom: Sequence[Any]) -> dict[str, Any]:
    if result.status is ResultStatus.SUCCESS:
        return outcome("success", result.result, custom=custom)
    if result.status is ResultStatus.INTERRUPTED:
        # A breakpoint asks nothing in the reference; the worker makes a question of it, so that a person can answer.
        asked = [question.value for question in result.interrupts if not question.id.startswith(_BREAKPOINT)]
        return outcome("interrupted", result.result, questions=asked, custom=custom)
    kind = result.error_type or ""
    text = re.sub(rf"^(node '[^']*': )?{re.escape(kind)}: ", "", result.error or "")
    return outcome("error", custom=custom, error=(kind, text))
