"""What the store cannot keep of one run: the run ends with an answer, and the worker goes on (rule 20)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.domain.models import Claim, Failure, RunStatus, Step
from langgraph_worker.domain.results import Outcome, Reporter
from langgraph_worker.errors import RowError, StoreError
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.execution.step_recorder import StepRecorder
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.executors import FakeRunner, executor_of
from tests.support.run_store import claim_one, replies, request
from workflow_events.results import WorkflowResultEvent

BAD = "bad"


class Refuses(SqlRunStore):
    """Cannot keep some things.

    :ivar ends: how many ends of the run :data:`BAD` it refuses.
    :ivar error: what it raises.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self.ends = 1
        self.error: Exception = RowError("the run store refuses a row")
        self.recorded: list[str] = []

    async def finish(
        self, claim: Claim, result: WorkflowResultEvent, failure: Failure | None = None, *, keep_thread: bool = False
    ) -> bool:
        if claim.graph == "graph" and claim.event.workflow_run_id == BAD and self.ends:
            self.ends -= 1
            raise self.error
        return await super().finish(claim, result, failure, keep_thread=keep_thread)

    async def record(self, claim: Claim, steps: Sequence[Step], spent: Any = None) -> None:
        if any(step.node == BAD for step in steps):
            raise self.error
        self.recorded += [step.node for step in steps]


class Succeeds(FakeRunner):
    """Every run succeeds, or raises what a test says."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None

    async def run(self, claim: Claim, control: Any, meter: RunMeter) -> Outcome:
        if self.trouble is not None and claim.event.workflow_run_id == BAD:
            raise self.trouble
        usage = {"m": {"input_tokens": 1}}
        return Reporter(claim, "w1", datetime.now(UTC), usage).success({"answer": 42}, datetime.now(UTC))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Refuses]:
    made = Refuses(tmp_path / "store.db")
    await made.open()
    yield made
    await made.close()


def asked(run: str) -> Any:
    one = request()
    return type(one)(one.event.model_copy(update={"workflow_run_id": run}), one.graph, one.reply_topic, one.origin)


async def run_one(store: SqlRunStore, runner: Any) -> None:
    """Run an executor until it has stored an end."""
    ended = asyncio.Event()
    executor = executor_of(store, runner, on_result=ended.set)
    running = asyncio.create_task(executor.run())
    await ended.wait()
    await executor.drain(0.0)
    await running


async def test_an_end_that_cannot_be_kept_is_an_error(store: Refuses) -> None:
    bad, good = asked(BAD), asked("good")
    await store.accept([bad])
    await run_one(store, Succeeds())
    reply = (await replies(store))[bad.event.event_id]
    assert (reply.status.value, reply.error_type, reply.retriable) == ("error", "result_not_serializable", False)
    assert reply.error == "the run store refuses a row"
    assert reply.usage == {}
    await store.accept([good])
    await run_one(store, Succeeds())
    assert (await store.counts())[RunStatus.COMPLETED] == 1


async def test_what_a_run_cannot_write_ends_it_with_an_error(store: Refuses) -> None:
    bad = asked(BAD)
    store.ends, runner = 0, Succeeds()
    runner.trouble = RowError("the run store refuses a row")
    await store.accept([bad])
    await run_one(store, runner)
    assert (await replies(store))[bad.event.event_id].error_type == "result_not_serializable"


async def test_a_run_whose_end_cannot_be_kept_at_all_is_set_aside(
    store: Refuses, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = asked(BAD), asked("good")
    store.ends = 2
    # What PostgreSQL says of a row that it refuses; the traceback of the log's line would show it.
    store.error.__cause__ = ValueError("Failing row contains (geheim)")
    await store.accept([bad, good])
    await run_one(store, Succeeds())
    request = str(bad.event.event_id)[:8]
    said = "the end of a run could not be stored: the run store refuses a row"
    assert f"{said} (graph graph, request {request})" in caplog.messages
    assert "geheim" not in caplog.text
    assert (await store.counts())[RunStatus.RUNNING] == 1, "its lease runs out, and a takeover ends it"
    assert await store.claim("w2", 9, ["graph"]) == []


async def test_a_store_that_fails_for_good_ends_the_worker(store: Refuses) -> None:
    store.error = StoreError("a newer schema", retriable=False)
    await store.accept([asked(BAD)])
    with pytest.raises(StoreError, match="a newer schema"):
        await executor_of(store, Succeeds()).run()


async def test_a_step_that_cannot_be_kept_costs_no_other(store: Refuses, caplog: pytest.LogCaptureFixture) -> None:
    await store.accept([asked("good")])
    claim = await claim_one(store)
    async with StepRecorder(store, claim, 1_000) as recorder:
        for number, node in enumerate(("a", BAD, "c")):
            recorder.see((), {"id": str(number), "name": node, "triggers": (), "input": 1})
    assert store.recorded == ["a", "c"]
    [text] = [one for one in caplog.messages if "is not recorded" in one]
    request = str(claim.correlation_id)[:8]
    assert text == f"a step of node bad is not recorded: the run store refuses a row (step 1, request {request})"
