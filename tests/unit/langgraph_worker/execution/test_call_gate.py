"""How a call of a model waits. What LangChain does with handlers of callbacks is tested, since it is no promise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import pytest

from langgraph_worker.errors import StoreError
from langgraph_worker.execution.call_gate import CallGate
from langgraph_worker.execution.model_calls import heard_by
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.execution.waiting_calls import (
    CallStoppedError,
    Wait,
    retry_store_in_wait,
    wait_in_loop,
    wait_in_thread,
)
from langgraph_worker.telemetry.usage import CalledModel, UsageCounter
from tests.support.paid_models import PaidModel

CALLS: dict[str, Callable[[PaidModel], Any]] = {
    "ainvoke": lambda model: model.ainvoke("?"),
    "invoke in a thread": lambda model: asyncio.to_thread(model.invoke, "?"),
    "ainvoke in another loop": lambda model: asyncio.to_thread(lambda: asyncio.run(model.ainvoke("?"))),
    "abatch": lambda model: model.abatch(["?"]),
    "astream": lambda model: _all(model),
    "stream in a thread": lambda model: asyncio.to_thread(lambda: list(model.stream("?"))),
}


async def _all(model: PaidModel) -> None:
    async for _ in model.astream("?"):
        pass


class Turns:
    """Stands for a run's turns: a call passes once it may."""

    def __init__(self) -> None:
        self.may: Future[None] = Future()
        self.asked = threading.Event()
        self.threads: list[int] = []
        self.ended: list[UUID] = []

    def take(self, call: UUID, model: CalledModel, tasks: Any, *, in_loop: bool) -> Wait[float]:
        self.threads.append(threading.get_ident())
        self.asked.set()
        yield self.may
        return 0.0

    def begin(self, call: UUID, model: CalledModel, waited: float, tasks: Any) -> None:
        pass

    def end(self, call: UUID, response: Any) -> None:
        self.ended.append(call)

    def fail(self, call: UUID, error: BaseException, response: Any = None) -> None:
        self.ended.append(call)

    def close(self) -> None:
        pass


def gated(turns: Turns) -> Any:
    meter = RunMeter(None)
    return heard_by(UsageCounter(meter.count), CallGate(meter, turns))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", CALLS)
async def test_a_call_waits_once_where_it_was_made_and_blocks_no_loop(kind: str) -> None:
    turns, model = Turns(), PaidModel()
    with gated(turns):
        call = asyncio.create_task(CALLS[kind](model))
        await asyncio.to_thread(turns.asked.wait, 10)
        assert (model.calls, call.done()) == (0, False)
        turns.may.set_result(None)
        await call
    assert (model.calls, len(turns.threads), len(turns.ended)) == (1, 1, 1)
    in_this_loop = kind in ("ainvoke", "abatch", "astream")
    assert (turns.threads == [threading.get_ident()]) is in_this_loop


@pytest.mark.parametrize(
    "error", [CallStoppedError("stop"), StoreError("away", retriable=False)], ids=["stop", "store"]
)
@pytest.mark.parametrize("kind", CALLS)
async def test_a_call_that_may_not_be_sent_is_not(kind: str, error: BaseException) -> None:
    turns, model = Turns(), PaidModel()
    turns.may.set_exception(error)
    with gated(turns), pytest.raises(type(error)):
        await CALLS[kind](model)
    assert (model.calls, turns.ended) == (0, [])


async def test_a_blocking_call_on_the_loop_waits_there_and_once() -> None:
    turns, model = Turns(), PaidModel()
    turns.may.set_result(None)
    with gated(turns):
        model.invoke("?")
    assert (model.calls, turns.threads) == (1, [threading.get_ident()])


async def test_the_end_of_a_run_ends_the_wait_of_a_thread() -> None:
    turns, model = Turns(), PaidModel()
    with gated(turns):
        call = asyncio.create_task(asyncio.to_thread(model.invoke, "?"))
        await asyncio.to_thread(turns.asked.wait, 10)
    with pytest.raises(CallStoppedError):
        await call
    assert model.calls == 0


async def test_a_cancellation_ends_the_wait_in_the_loop() -> None:
    turns, model = Turns(), PaidModel()
    with gated(turns):
        call = asyncio.create_task(model.ainvoke("?"))
        await asyncio.to_thread(turns.asked.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert (model.calls, turns.may.cancelled()) == (0, True)


async def test_a_wait_goes_on_when_the_store_is_back() -> None:
    answers: list[Any] = [StoreError("away", retriable=True), 7]

    def ask() -> Future[int]:
        future: Future[int] = Future()
        answer = answers.pop(0)
        if isinstance(answer, int):
            future.set_result(answer)
        else:
            future.set_exception(answer)
        return future

    assert await wait_in_loop(retry_store_in_wait(ask, "look")) == 7
    answers[:] = [StoreError("away", retriable=True), 8]
    assert wait_in_thread(retry_store_in_wait(ask, "look"), threading.Event()) == 8
    answers[:] = [StoreError("broken", retriable=False)]
    with pytest.raises(StoreError, match="broken"):
        await wait_in_loop(retry_store_in_wait(ask, "look"))
