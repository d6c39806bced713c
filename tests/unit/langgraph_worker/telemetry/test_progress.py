"""The progress of runs: enough, not too much, and never at the cost of a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer

from langgraph_worker.domain.models import Step, StepStatus
from langgraph_worker.telemetry.progress import Progress, RunProgress
from tests.support.runs import Desk, chain, opened
from workflow_events import ResultStatus, WorkflowEvent

EVENT = WorkflowEvent.model_validate(
    {"event_type": "workflow.triggered", "source": "airflow", "workflow_id": "d", "workflow_run_id": "r"}
)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


class Notices:
    """Takes note; or drops everything."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.heard = asyncio.Event()

    def offer(self, topic, key, value, headers) -> bool:
        self.sent.append((topic, json.loads(value)))
        self.heard.set()
        return self.takes

    def close(self, timeout) -> None:
        pass

    def kinds(self, topic: str = "progress") -> list[tuple[str, str | None]]:
        return [(body["kind"], body["node"]) for name, body in self.sent if name == topic]


def publishing(desk: Desk, notices: Notices, per_second: float = 100.0, tokens: str | None = None) -> Desk:
    progress = Progress(notices, "progress", tokens, "w1", per_second, 0.0, lambda: 0.0)
    plain = desk.runner
    return replace(desk, runner=lambda graphs: replace(plain(graphs), progress=progress))


async def run(desk: Desk, *nodes: Any) -> Any:
    graph = chain(**{node.__name__: node for node in nodes})
    return (await desk.run(await desk.claim("g", {}), graph)).result


def speak(state):
    model = GenericFakeChatModel(messages=iter([AIMessage("buy low and sell high")]))
    return {"log": [model.invoke("advice?").content]}


def writes(*values):
    def write(state):
        for value in values:
            get_stream_writer()(value)
        return {}

    return write


async def test_a_node_reports_its_start_and_its_end(desk):
    notices = Notices()

    def fail(state):
        raise ValueError("no")

    assert (await run(publishing(desk, notices), writes(), fail)).status is ResultStatus.FAILURE
    assert notices.kinds() == [
        ("node_started", "write"),
        ("node_finished", "write"),
        ("node_started", "fail"),
        ("node_finished", "fail"),
    ]
    ends = [body["data"] for _, body in notices.sent if body["kind"] == "node_finished"]
    assert [(end["status"], end["finished"]) for end in ends] == [("COMPLETED", 1), ("FAILED", 2)]
    assert not any("tokens" in end for end in ends)  # no model was called
    assert notices.sent[-1][1]["data"]["error"] == "ValueError: no"


def progress_of(notices: Notices, quick_seconds: float) -> RunProgress:
    claim = SimpleNamespace(event=EVENT, thread_id="t", thread_name=None, reply_traceparent=None)
    return Progress(notices, "progress", None, "w1", 100.0, quick_seconds, lambda: 0.0).for_run(claim)


def step(node: str, status: StepStatus = StepStatus.RUNNING) -> Step:
    return Step(node, "", node, None, status, started_at=datetime(2026, 1, 2, tzinfo=UTC))


async def test_a_quick_node_has_one_message_which_says_what_that_of_its_start_would():
    notices = Notices()
    run = progress_of(notices, 60.0)
    run.resumed(["read"])
    run.step(step("plan"))
    assert notices.sent == []
    run.step(step("plan", StepStatus.COMPLETED))
    [(_, body)] = notices.sent
    assert (body["kind"], body["node"]) == ("node_finished", "plan")
    assert body["data"] == {"status": "COMPLETED", "finished": 1, "thread_id": "t", "not_run_again": ["read"]}


async def test_a_node_that_takes_longer_has_both_and_the_first_says_since_when():
    notices = Notices()
    run = progress_of(notices, 0.001)
    run.step(step("plan"))
    await notices.heard.wait()
    run.step(step("plan", StepStatus.COMPLETED))
    assert notices.kinds() == [("node_started", "plan"), ("node_finished", "plan")]
    assert notices.sent[0][1]["timestamp"] == "2026-01-02T00:00:00Z"
    assert notices.sent[0][1]["data"] == {"thread_id": "t"}
    assert "thread_id" not in notices.sent[1][1]["data"]


async def test_what_a_quick_node_says_comes_after_its_start():
    notices = Notices()
    run = progress_of(notices, 60.0)
    run.step(step("plan"))
    run.part("custom", ["plan:1"], "half done")
    run.step(step("plan", StepStatus.COMPLETED))
    assert [kind for kind, _ in notices.kinds()] == ["node_started", "custom", "node_finished"]


async def test_a_node_whose_run_is_over_has_not_begun_any_more():
    notices = Notices()
    run = progress_of(notices, 0.001)
    run.step(step("plan"))
    run.close()
    is_due = asyncio.Event()
    asyncio.get_running_loop().call_later(0.002, is_due.set)  # after the start's own time
    await is_due.wait()
    assert notices.sent == []


def test_the_end_of_a_node_says_how_many_tokens_the_run_has_used():
    notices, claim = Notices(), SimpleNamespace(event=EVENT, thread_id="t", thread_name=None, reply_traceparent=None)
    counts = iter((107, 130))
    run = Progress(notices, "progress", None, "w1", 100.0, now=lambda: 0.0).for_run(claim, lambda: next(counts))
    for _ in range(2):
        run.step(Step("1", "", "plan", None, StepStatus.COMPLETED, started_at=datetime.now(UTC)))
    assert [body["data"]["tokens"] for _, body in notices.sent] == [107, 130]


def test_the_first_node_of_a_run_that_goes_on_names_what_is_not_run_again():
    notices = Notices()
    run = progress_of(notices, 0.0)
    run.resumed(["read", "plan"])
    for node in ("trade", "report"):
        run.step(Step("1", "", node, None, StepStatus.RUNNING, started_at=datetime.now(UTC)))
    assert [body["data"] for _, body in notices.sent] == [
        {"thread_id": "t", "not_run_again": ["read", "plan"]},
        {"thread_id": "t"},
    ]


@pytest.mark.parametrize("value", [object(), "\ud800", float("nan"), b"\xff", {1: {2}}, "x" * 100_000])
async def test_a_run_goes_on_whatever_its_graph_writes(desk, value):
    notices = Notices()
    assert (await run(publishing(desk, notices), writes(value, {"then": 1}))).status is ResultStatus.SUCCESS
    published = [body["data"] for _, body in notices.sent if body["kind"] == "custom"]
    assert published[-1] == {"then": 1}
    assert all(len(json.dumps(one)) < 20_000 for one in published)


async def test_a_failure_that_no_message_can_carry_is_still_the_failure_of_its_run(desk):
    def fail(state):
        raise ValueError("half of a pair: \ud800")

    notices = Notices()
    result = await run(publishing(desk, notices), fail)
    assert (result.status, result.error_type) == (ResultStatus.FAILURE, "ValueError")
    assert notices.kinds() == [("node_started", "fail")]


async def test_too_much_is_dropped(desk):
    notices = Notices()
    assert (await run(publishing(desk, notices, per_second=2), writes(*range(1_000)))).status is ResultStatus.SUCCESS
    assert len(notices.sent) == 10  # five seconds' worth at once; no time passes


async def test_a_broker_that_takes_nothing_is_no_trouble(desk):
    assert (await run(publishing(desk, Notices(takes=False)), writes(1))).status is ResultStatus.SUCCESS


async def test_tokens_go_to_their_own_topic_and_only_when_asked_for(desk):
    silent, notices = Notices(), Notices()
    assert (await run(publishing(desk, silent), speak)).status is ResultStatus.SUCCESS
    assert {name for name, _ in silent.sent} == {"progress"}
    assert (await run(publishing(desk, notices, tokens="tokens"), speak)).result["log"] == ["buy low and sell high"]
    published = [body["data"]["text"] for name, body in notices.sent if name == "tokens"]
    assert "".join(published) == "buy low and sell high"
    assert notices.kinds("tokens") == [("token", "speak")] * len(published)
    assert ("token", "speak") not in notices.kinds()
