"""Durability of single runs, with the real store and saver: what a node may rely on when it starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import interrupt

from langgraph_worker.checkpoints.saver import RunSaver
from langgraph_worker.domain.models import Claim
from tests.support.run_store import answer, attempt, request
from tests.support.runs import Desk, State, chain, opened
from workflow_events.models import WorkflowEvent
from workflow_events.results import ResultStatus


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


async def test_a_node_starts_when_the_checkpoint_before_it_is_durable(desk, monkeypatch):
    under_way = 0
    aput = RunSaver.aput

    async def slowly(*args: Any) -> Any:
        nonlocal under_way
        under_way += 1
        for _ in range(1_000):  # turns of the loop in which a node that does not wait would begin
            await asyncio.sleep(0)
        try:
            return await aput(*args)
        finally:
            under_way -= 1

    async def node(state: State) -> State:
        return {"log": [str(under_way)]}

    monkeypatch.setattr(RunSaver, "aput", slowly)
    outcome = await desk.run(await desk.claim("g"), chain(a=node, b=node, c=node))
    assert outcome.result.result == {"log": ["0", "0", "0"]}


class Careless:
    """Asks, then fails so often with the answer."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.heard: list[Any] = []

    def __call__(self, state: State) -> State:
        self.heard.append(interrupt("Buy?"))
        if len(self.heard) <= self.failures:
            raise ConnectionError("the exchange is away")
        return {"log": [self.heard[-1]]}


async def claim(desk: Desk, asked: WorkflowEvent | Any) -> Claim:
    await desk.store.accept([request(asked, "g")])
    (claimed,) = await desk.store.claim("w1", 1, ["g"])
    return claimed


async def test_an_answer_that_a_node_was_given_is_not_asked_for_again(desk):
    node = Careless(failures=1)
    asked = (await desk.run(await claim(desk, attempt(1)), chain(ask=node))).result
    [question] = asked.interrupts
    failed = await desk.run(await claim(desk, answer(attempt(1), {question.id: "yes"})), chain(ask=node))
    assert failed.result.status is ResultStatus.FAILURE
    again = await claim(desk, attempt(2))
    assert (again.answers, again.answered) == ({}, frozenset({question.id}))
    done = (await desk.run(again, chain(ask=node))).result
    assert (done.status, done.result) == (ResultStatus.SUCCESS, {"log": ["yes"]})
    assert node.heard == ["yes", "yes"]


async def test_an_answer_that_no_node_was_given_is_given_again(desk):
    node = Careless(failures=0)
    asked = (await desk.run(await claim(desk, attempt(1)), chain(ask=node))).result
    [question] = asked.interrupts
    given = await claim(desk, answer(attempt(1), {question.id: "yes"}))
    await desk.store.release(given)  # before anything ran
    (again,) = await desk.store.claim("w2", 1, ["g"])
    assert again.answers == {question.id: "yes"}
    assert (await desk.run(again, chain(ask=node))).result.result == {"log": ["yes"]}
