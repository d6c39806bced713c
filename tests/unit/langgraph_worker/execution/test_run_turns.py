"""Runs whose models are limited: short waits are waited for, for long ones a run gives its place back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphDrained
from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl

from langgraph_worker.domain.model_turns import ModelLimit, TurnRequest
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.retry_policy import ErrorClass
from langgraph_worker.domain.spending import Spending
from langgraph_worker.execution import turn_queue
from langgraph_worker.execution.run_turns import RunTurns
from langgraph_worker.execution.turn_queue import Turn, TurnQueue
from langgraph_worker.execution.turn_wait import WaitsForTurnError
from langgraph_worker.execution.waiting_calls import CallStoppedError
from langgraph_worker.graphs.model_limits import ModelLimits
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.telemetry.metrics import Metrics
from langgraph_worker.telemetry.usage import CalledModel
from tests.support.paid_models import PaidModel
from tests.support.runs import Desk, State, chain, opened
from workflow_events.models import Budget, SpendLimits
from workflow_events.results import ModelUsage, ResultStatus

BIG = "openai:big"
ONE = ModelLimit(requests=1)


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by itself here: a call on a machine that is busy is not to miss its turn, unless a test wants it."""
    monkeypatch.setattr(turn_queue, "LATE_SECONDS", 15.0)


def side_by_side(**nodes: Any) -> StateGraph:
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    return builder


@dataclass
class Time:
    """Goes on by itself, and by leaps: for the store and for the worker."""

    leaps: float = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.leaps

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.leaps)


@dataclass
class Case:
    """A worker whose model ``big`` is limited."""

    desk: Desk
    time: Time
    queue: TurnQueue
    model: PaidModel = field(default_factory=PaidModel)
    asked: list[Future[Turn]] = field(default_factory=list)

    def __post_init__(self) -> None:
        ask = self.queue.ask

        def noted(*args: Any) -> Future[Turn]:
            self.asked.append(ask(*args))
            return self.asked[-1]

        self.queue.ask = noted  # type: ignore[method-assign]

    def turns_given(self) -> int:
        """To calls of this worker. A turn whose answer is under way when time leaps would begin that much later."""
        return sum(future.done() for future in self.asked)

    def take(self, wanted: int, limit: ModelLimit = ONE, model: str = BIG) -> list[float]:
        """Another worker's calls; their waits."""
        asked = TurnRequest(model, limit, wanted)
        return [turn.wait_seconds for turn in self.desk.store.take_turns(asked).result(timeout=10)]

    def answer(self, blocking: bool = False) -> Any:
        """A node that calls the model."""

        async def node(state: State) -> State:
            return {"log": [str((await self.model.ainvoke("?")).content)]}

        def blocking_node(state: State) -> State:
            return {"log": [str(self.model.invoke("?").content)]}

        return blocking_node if blocking else node

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0.01)

    async def run(self, graph: Any, **more: Any) -> WaitsForTurnError:
        """Run it to a long wait, and give it back."""
        claim = await self.desk.claim("g", **more)
        return await self.goes_back(claim, graph)

    async def goes_back(self, claim: Claim, graph: Any) -> WaitsForTurnError:
        with pytest.raises(WaitsForTurnError) as raised:
            await self.desk.only_run(claim, graph)
        away = raised.value
        await self.desk.store.release(claim, away.wait.seconds, retried=away.retried)
        return away

    async def claim_again(self) -> Claim:
        (claim,) = await self.desk.store.claim("w2", 1, ["g"])
        return claim


@asynccontextmanager
async def case_of(path: Path, **limits: ModelLimit) -> AsyncIterator[Case]:
    moment = Time()
    queues: list[TurnQueue] = []

    def turns(store: SqlRunStore) -> TurnQueue:
        named = ModelLimits({name.replace("__", ":"): limit for name, limit in limits.items()})
        queues.append(TurnQueue(store, named, Metrics(), moment.monotonic))
        return queues[0]

    async with opened(path / "store.db", turns, now=moment.now) as desk:
        yield Case(desk, moment, queues[0])


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with case_of(tmp_path, big=ONE) as case:
        yield case


@pytest.mark.parametrize("blocking", [False, True], ids=["await", "thread"])
async def test_a_short_wait_is_waited_for(tmp_path: Path, blocking: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    two = ModelLimit(requests=2)
    async with case_of(tmp_path, big=two) as case:
        case.take(2, two)
        case.time.leaps += 40
        claim, nodes = await case.desk.claim("g"), {name: case.answer(blocking) for name in "ab"}
        run = asyncio.create_task(case.desk.only_run(claim, side_by_side(**nodes)))
        await case.until(lambda: "for its turn" in caplog.text and case.turns_given() == 2)
        assert (case.model.calls, run.done()) == (0, False)
        case.time.leaps += 21.4
        outcome = await run
        assert (outcome.result.status, case.model.calls) == (ResultStatus.SUCCESS, 2)
        assert waited(case) > 40
    lines = [record.message for record in caplog.records if getattr(record, "action", "") == "waits_for_turn"]
    assert len(lines) == 1  # of a run and model
    assert lines[0].startswith("a call of model openai:big waits 2")
    assert "for its turn: 2 requests a minute (graph g" in lines[0]


def waited(case: Case) -> float:
    """By the figures, in seconds."""
    labels = {"model": BIG}
    return case.queue.metrics.registry.get_sample_value("langgraph_worker_model_turn_wait_seconds_total", labels) or 0.0


@pytest.mark.parametrize("blocking", [False, True], ids=["await", "thread"])
async def test_a_long_wait_gives_the_place_back_and_keeps_the_turn(case: Case, blocking: bool) -> None:
    case.take(1)
    graph = chain(a=case.answer(blocking))
    away = await case.run(graph)
    assert (away.wait.model, list(away.retried.turns), away.retried.times) == (BIG, [BIG], {})
    (step,) = case.desk.steps()
    assert step["status"] == "INTERRUPTED"  # nothing has failed
    assert step["error"] == "stopped before it called its model: it begins again when the run goes on"
    assert 50 < away.wait.seconds < 60
    assert "its turn to call model openai:big comes later" in str(away)
    (other,) = case.take(1)
    assert other > 120  # the place in the queue is kept
    case.time.leaps += away.wait.seconds + 1.0
    claim = await case.claim_again()
    assert (claim.takeovers, claim.retried.turns) == (0, away.retried.turns)
    run = asyncio.create_task(case.desk.only_run(claim, graph))
    outcome = await run
    assert (outcome.result.status, case.model.calls) == (ResultStatus.SUCCESS, 1)


async def test_a_kept_turn_that_is_missed_is_another_one(case: Case) -> None:
    case.take(1)
    away = await case.run(chain(a=case.answer()))
    case.time.leaps += 200
    outcome = await case.desk.only_run(await case.claim_again(), chain(a=case.answer()))
    assert outcome.result.status is ResultStatus.SUCCESS
    assert case.take(1)[0] > 50
    assert away.retried.turns


async def test_all_calls_of_a_run_keep_their_turns(case: Case) -> None:
    case.take(1)
    builder = side_by_side(**{name: case.answer() for name in "abc"})
    away = await case.run(builder)
    assert len(away.retried.turns[BIG]) == 3
    assert case.take(1)[0] > 62 * 3.9
    case.time.leaps += away.wait.seconds + 1.0
    claim = await case.claim_again()
    run = asyncio.create_task(case.desk.only_run(claim, builder))
    await case.until(lambda: case.model.calls == 1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert case.take(1)[0] > 62 * 3.9


async def test_supersteps_before_a_wait_count_for_the_recursion_limit(case: Case) -> None:
    graph = chain(a=case.answer(), b=case.answer())
    away = await case.run(graph)
    assert (case.model.calls, away.retried.steps) == (1, 1)


async def test_a_run_with_a_call_under_way_waits_in_its_place(case: Case) -> None:
    """That call would be cut off, and paid again."""
    case.take(1)
    turns, model = RunTurns(case.queue, await case.desk.claim("g"), RunControl()), CalledModel("big", "openai")
    under_way, other = uuid4(), uuid4()
    turns.begin(under_way, CalledModel("free", None), 0.0)
    wait = turns.take(other, model, in_loop=False)
    turn = next(wait)
    assert isinstance(turn, Future)
    assert wait.send(await asyncio.wrap_future(turn)) == 0.2
    turns.end(under_way, LLMResult(generations=[]))
    with pytest.raises(CallStoppedError):
        wait.send(None)
    assert turns.wait is not None
    assert turns.wait.seconds > 50


def twice(case: Case, blocking: bool) -> Any:
    """A node that calls the model, and again."""

    async def node(state: State) -> State:
        return {"log": [str((await case.model.ainvoke("?")).content) for _ in range(2)]}

    def blocking_node(state: State) -> State:
        return {"log": [str(case.model.invoke("?").content) for _ in range(2)]}

    return blocking_node if blocking else node


@pytest.mark.parametrize("nested", [False, True], ids=["node", "node of a subgraph"])
@pytest.mark.parametrize("blocking", [False, True], ids=["await", "thread"])
async def test_a_node_that_was_answered_waits_in_its_place(
    case: Case, blocking: bool, nested: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It would begin again, pay for the first call again, and wait for the second one again: without an end."""
    caplog.set_level("INFO")
    graph = chain(a=twice(case, blocking))
    run = asyncio.create_task(
        case.desk.only_run(await case.desk.claim("g"), chain(inner=graph.compile()) if nested else graph)
    )
    await case.until(lambda: "for its turn" in caplog.text and case.turns_given() == 2)
    case.time.leaps += 61.4
    outcome = await run
    assert (outcome.result.status, case.model.calls) == (ResultStatus.SUCCESS, 2)


@pytest.mark.parametrize("nested", [False, True], ids=["side by side", "in a subgraph"])
async def test_calls_of_nodes_that_have_finished_keep_no_place(case: Case, nested: bool) -> None:
    is_answered, call = threading.Event(), case.answer(blocking=True)

    def first(state: State) -> State:
        answer: State = call(state)
        is_answered.set()
        return answer

    def second(state: State) -> State:
        assert is_answered.wait(10)
        answer: State = call(state)
        return answer

    nodes = {"first": first, "second": second}
    await case.run(chain(inner=chain(**nodes).compile()) if nested else side_by_side(**nodes))
    assert case.model.calls == 1


def careless(case: Case, calls: int) -> Any:
    """An asynchronous node that calls the model synchronously."""

    async def node(state: State) -> State:
        return {"log": [str(case.model.invoke("?").content) for _ in range(calls)]}

    return node


async def test_a_blocking_call_on_the_loop_does_not_wait_for_long_and_comes_again_once(case: Case) -> None:
    case.take(1)
    case.time.leaps += 40
    graph = chain(a=careless(case, 1))
    away = await case.run(graph)
    assert (case.model.calls, away.wait.seconds < 30) == (0, True)
    case.time.leaps += away.wait.seconds
    outcome = await case.desk.only_run(await case.claim_again(), graph)
    assert (outcome.result.status, case.model.calls) == (ResultStatus.SUCCESS, 1)


async def test_a_second_blocking_call_on_the_loop_that_has_to_wait_is_an_error(case: Case) -> None:
    """No wait could end it: the first call would take the turn that the second one has waited for."""
    outcome = await case.desk.only_run(await case.desk.claim("g"), chain(a=careless(case, 2)))
    assert (outcome.result.error_type, outcome.result.retriable) == ("BlockingCallError", False)
    assert "Await ainvoke()" in (outcome.result.error or "")
    assert case.model.calls == 1


@pytest.mark.parametrize("blocking", [False, True], ids=["await", "thread"])
async def test_a_node_that_catches_everything_does_not_go_on_without_an_answer(case: Case, blocking: bool) -> None:
    case.take(1)

    def stubborn(state: State) -> State:
        try:
            return {"log": [str(case.model.invoke("?").content)]}
        except BaseException:  # noqa: BLE001 - a careless node
            return {"log": ["made up"]}

    async def stubborn_too(state: State) -> State:
        try:
            return {"log": [str((await case.model.ainvoke("?")).content)]}
        except BaseException:  # noqa: BLE001 - a careless node
            return {"log": ["made up"]}

    graph = chain(a=stubborn if blocking else stubborn_too)
    away = await case.run(graph)
    case.time.leaps += away.wait.seconds + 1.0
    outcome = await case.desk.only_run(await case.claim_again(), graph)
    assert outcome.result.result["log"] == ["answer 1"]


@pytest.mark.parametrize("blocking", [False, True], ids=["await", "thread"])
async def test_a_drain_ends_a_wait_and_gives_the_turn_back(
    case: Case, blocking: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    case.take(1)
    case.time.leaps += 40
    control = RunControl()
    claim = await case.desk.claim("g")
    run = asyncio.create_task(case.desk.only_run(claim, chain(a=case.answer(blocking)), control))
    await case.until(lambda: "for its turn" in caplog.text)
    control.request_drain("stop")
    with pytest.raises(GraphDrained):
        await run
    assert case.model.calls == 0
    assert case.take(1)[0] < 30


async def test_a_cancelled_run_gives_its_turn_back(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    case.take(1)
    case.time.leaps += 40
    claim = await case.desk.claim("g")
    run = asyncio.create_task(case.desk.only_run(claim, chain(a=case.answer())))
    await case.until(lambda: "for its turn" in caplog.text)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await case.until(lambda: case.queue._thread._work_queue.empty())
    assert case.take(1)[0] < 30


def busy(seconds: str | None) -> Callable[[int], None]:
    request = httpx.Request("POST", "http://model")
    headers = {} if seconds is None else {"Retry-After": seconds}
    error = httpx.HTTPStatusError("429", request=request, response=httpx.Response(429, headers=headers))

    def raise_once(calls: int) -> None:
        if calls == 1:
            raise error

    return raise_once


@pytest.mark.parametrize("blocking", [False, True], ids=["await", "thread"])
@pytest.mark.parametrize(("asks", "least", "most"), [("20", 18, 20), (None, 2, 6)], ids=["asked", "not asked"])
async def test_a_429_cools_a_model_for_all_workers_also_without_a_limit(
    tmp_path: Path, blocking: bool, asks: str | None, least: float, most: float
) -> None:
    async with case_of(tmp_path) as case:
        case.model.before = busy(asks)
        claim = await case.desk.claim("g")
        outcome = await case.desk.only_run(claim, chain(a=case.answer(blocking)))
        assert outcome.back_off is not None
        assert outcome.back_off.error_class is ErrorClass.RATE_LIMIT
        await case.until(lambda: bool(case.desk.store.cooling().result(timeout=10)))
        (left,) = case.desk.store.cooling().result(timeout=10).values()
        assert least < left <= most
        assert case.take(1, ONE)[0] > least - 1  # another worker's calls
        assert least < case.queue.cooling(BIG) <= most


@pytest.mark.parametrize("blocking", [False, True], ids=["await", "thread"])
async def test_the_first_call_of_a_worker_knows_of_the_429s_of_others(tmp_path: Path, blocking: bool) -> None:
    async with case_of(tmp_path) as case:
        case.desk.store.cool(BIG, 100.0).result(timeout=10)
        away = await case.run(chain(a=case.answer(blocking)))
        assert (away.retried.turns, case.model.calls) == ({}, 0)
        assert 80 < away.wait.seconds < 99


async def test_a_worker_that_calls_models_hears_of_the_429s_of_others(tmp_path: Path) -> None:
    async with case_of(tmp_path) as case:
        case.desk.store.cool(BIG, 100.0).result(timeout=10)
        case.queue.look()  # no run has called a model: nothing is read
        assert case.queue.cooling(BIG) == 0.0  # as a call asks
        case.queue.look()
        await case.until(lambda: case.queue.cooling(BIG) > 90)
        case.time.leaps += 101
        assert case.queue.cooling(BIG) == 0.0


@pytest.mark.parametrize("blocking", [False, True], ids=["await", "thread"])
async def test_a_model_that_takes_no_calls_again_and_again_is_not_waited_for_in_place(
    tmp_path: Path, blocking: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Each wait is a short one, but the run would hold its slot for as long as its provider has trouble."""
    caplog.set_level("INFO")
    async with case_of(tmp_path) as case:
        case.desk.store.cool(BIG, 20.0).result(timeout=10)
        claim = await case.desk.claim("g")
        run = asyncio.create_task(case.goes_back(claim, chain(a=case.answer(blocking))))
        await case.until(lambda: "for its turn" in caplog.text)
        case.queue.refused(BIG, 45.0)  # by the call of another run
        case.time.leaps += 24  # its own wait is over, and 21 s are left
        away = await run
        assert case.model.calls == 0
        assert 15 < away.wait.seconds < 22
        assert "comes too late" not in caplog.text


@pytest.mark.parametrize("came", [0.0, 50.0], ids=["at once", "after 50 s"])
async def test_a_run_that_needs_long_to_come_to_a_call_waits_as_long_for_it(case: Case, came: float) -> None:
    """For it would need as long again. But it does not hold its slot for ever."""
    turns, model = RunTurns(case.queue, await case.desk.claim("g"), RunControl()), CalledModel("other", "openai")
    case.time.leaps += came
    waits: list[float] = []

    def wait() -> None:
        for asked in turns.take(uuid4(), model, in_loop=False):
            if isinstance(asked, Future):
                asked.result(timeout=10)
            case.queue.refused("openai:other", 20.0)
            case.time.leaps += 10.0
            waits.append(10.0)

    with pytest.raises(CallStoppedError):
        wait()
    assert max(came, 10) <= sum(waits) <= came + 40
    assert turns.wait is not None
    assert 0 < turns.wait.seconds < 21


async def test_what_others_spend_during_a_wait_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with case_of(tmp_path, big=ONE) as case:
        case.take(1)
        case.time.leaps += 40
        budget = Budget(dag_run=SpendLimits(tokens=250))
        claim = await case.desk.claim("g", budget=budget)
        run = asyncio.create_task(case.desk.only_run(claim, chain(a=case.answer())))
        await case.until(lambda: "for its turn" in caplog.text)
        other = await case.desk.claim("h", budget=budget)
        await case.desk.store.record(other, [], Spending({"x": ModelUsage(total_tokens=300)}))
        case.time.leaps += 22
        outcome = await run
        assert (outcome.result.error_type, case.model.calls) == ("budget_exceeded", 0)
        assert case.take(1)[0] <= 0  # its turn is given back


async def test_tokens_of_answers_count(tmp_path: Path) -> None:
    async with case_of(tmp_path, openai__big=ModelLimit(tokens=150)) as case:
        away = await case.run(chain(a=case.answer(), b=case.answer(), c=case.answer()))
        assert case.model.calls == 1  # the second would take as many as the first: 200
        assert away.wait.seconds > 50


async def test_a_limit_of_a_name_that_nobody_asks_for_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with case_of(tmp_path, azure__big=ONE) as case:
        graph = chain(a=case.answer(), b=case.answer())
        assert (await case.desk.only_run(await case.desk.claim("g"), graph)).result.status is ResultStatus.SUCCESS
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line == (
        "model openai:big has no limit: langgraph.json has one for 'azure:big', which is not the name that graph g "
        "asks for. Name it 'openai:big' there"
    )


async def test_a_late_call_takes_another_turn(case: Case) -> None:
    """Something held the worker up between its turn and its call."""
    asked: list[int] = []
    take = case.queue.ask

    def ask(*args: Any) -> Any:
        future = take(*args)
        future.result(timeout=10)
        asked.append(1)
        if len(asked) == 1:
            case.time.leaps += 15.5
        return future

    case.queue.ask = ask  # type: ignore[method-assign]
    outcome = await case.desk.only_run(await case.desk.claim("g"), chain(a=case.answer()))
    assert (outcome.result.status, len(asked)) == (ResultStatus.SUCCESS, 2)
    case.queue.ask = take  # type: ignore[method-assign]
    assert 60 < case.take(1)[0] < 62.1  # the first turn was given back
