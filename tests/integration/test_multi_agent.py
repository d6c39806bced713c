"""Several agents in one task, with a real Kafka and a real worker: triggers that start again, and workers that die."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_langgraph.exceptions import FinalAgentsFailed, RunFailed
from airflow_provider_langgraph.operators.multi_agent import MultiAgentOperator
from airflow_provider_langgraph.triggers.multi_agent import MultiAgentTrigger
from airflow_provider_langgraph.waiting import agents_run
from devtools.broker import Broker
from tests.support.asking_task import context
from tests.support.polling import until
from tests.support.ti_ids import new_ti_id
from tests.support.worker import SECONDS, Desk, Gate, desk_of
from workflow_events.identity import correlation_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def worker_desk(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk_of(broker, tmp_path_factory.mktemp("desk"), lease_seconds=2, renew_seconds=0.4) as desk, desk.worker:
        yield desk


@pytest.fixture
def desk(worker_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    connection = {"conn_type": "kafka", "extra": worker_desk.kafka.client}
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")
    return worker_desk


class Try:
    """One try of a task with several agents, which has deferred.

    :param number: of the try.
    :param run: the DAG run; None: one of its own.
    :param arguments: the operator's.
    """

    def __init__(
        self,
        desk: Desk,
        agents: list[dict[str, Any]],
        mode: str,
        *,
        number: int = 1,
        run: str | None = None,
        **arguments: Any,
    ) -> None:
        self.desk = desk
        self.id = new_ti_id()
        self.pushed: dict[str, Any] = {}
        self.context: Any = context(
            id=self.id,
            run_id=run or str(self.id),
            try_number=number,
            xcom_push=lambda key, value: self.pushed.update({key: value}),
        )
        self.operator = MultiAgentOperator(
            task_id="agents",
            agents=agents,
            orchestration_mode=mode,
            **{"fleet": desk.kafka.prefix, "defer_after": 0, "timeout": 100} | arguments,
        )

    def defer(self) -> MultiAgentTrigger:
        """Publish the first requests; the trigger, as its triggerer builds it."""
        with pytest.raises(TaskDeferred) as deferred:
            self.operator.execute(self.context)
        trigger = deferred.value.trigger
        trigger.not_before = ""
        return again(trigger)

    def resume(self, event: Any) -> Any:
        return self.operator.execute_complete(self.context, json.loads(json.dumps(event)))

    def asked(self) -> Counter[str]:
        """How often each agent's request was published."""
        events = [json.loads(one.value()) for one in self.desk.kafka.read_all(self.desk.kafka.fleet.events)]
        mine = [event for event in events if event["attempt"]["id"] == str(self.id)]
        assert {event["event_id"] for event in mine} == {
            str(correlation_id(self.id, event["attempt"]["agent"])) for event in mine
        }
        return Counter(event["attempt"]["agent"] for event in mine)


def again(trigger: MultiAgentTrigger) -> MultiAgentTrigger:
    """The trigger as another triggerer builds it."""
    return MultiAgentTrigger(**json.loads(json.dumps(trigger.serialize()[1])))


async def fire(trigger: MultiAgentTrigger) -> Any:
    [event] = [event async for event in trigger.run()]
    return event.payload


async def dropped(running: asyncio.Task[Any]) -> None:
    """What the end of a triggerer does to a trigger."""
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def written(gate: Gate, line: str, count: int = 1) -> None:
    await until(lambda: gate.ledger.count(line) >= count, SECONDS)


def gated(desk: Desk, *names: str) -> tuple[list[dict[str, Any]], dict[str, Gate]]:
    gates = {name: desk.gate() for name in names}
    return [{"name": name, "type": "gated", "input_data": gate.data} for name, gate in gates.items()], gates


RAN_ONCE = ["first", "waiting", "passed", "last"]


async def test_a_trigger_that_starts_again_between_the_steps_loses_and_repeats_nothing(desk):
    agents, gates = gated(desk, "one", "two", "three")
    attempt = Try(desk, agents, "sequential")
    trigger = attempt.defer()

    gates["one"].open()
    running = asyncio.create_task(fire(trigger))
    await written(gates["two"], "waiting")  # the first trigger has asked for it
    await dropped(running)
    gates["two"].open()
    await written(gates["two"], "last")  # ended while no trigger was there

    running = asyncio.create_task(fire(again(trigger)))
    await written(gates["three"], "waiting")
    await dropped(running)
    running = asyncio.create_task(fire(again(trigger)))  # the third one meets a step that is at work
    gates["three"].open()

    values = attempt.resume(await running)
    assert list(values) == ["one", "two", "three"]
    assert values["three"]["ledger"] == gates["three"].data["ledger"]
    assert [gate.ledger for gate in gates.values()] == [RAN_ONCE] * 3
    asked = attempt.asked()
    assert (asked["one"], asked["two"]) == (1, 1)  # what has its answer on the topic is not even asked for again
    assert asked["three"] in (1, 2)


async def test_a_trigger_dropped_while_it_publishes_is_no_loss(desk, monkeypatch):
    agents, gates = gated(desk, "one", "two")
    attempt = Try(desk, agents, "sequential")
    trigger = attempt.defer()
    for gate in gates.values():
        gate.open()
    publishing = asyncio.Event()

    async def hang(*_: Any) -> None:
        publishing.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as stuck:
        stuck.setattr(agents_run, "publish_step", hang)
        running = asyncio.create_task(fire(trigger))
        await publishing.wait()
        await dropped(running)
    assert list(attempt.resume(await fire(again(trigger)))) == ["one", "two"]
    assert [gate.ledger for gate in gates.values()] == [RAN_ONCE] * 2


async def test_a_worker_that_dies_under_parallel_agents_repeats_no_finished_node(desk):
    agents, gates = gated(desk, "left", "right")
    attempt = Try(desk, agents, "parallel")
    trigger = attempt.defer()
    running = asyncio.create_task(fire(trigger))
    for gate in gates.values():
        await written(gate, "waiting")
    gates["left"].open()
    await written(gates["left"], "last")
    desk.worker.child.kill()
    desk.worker.launch()
    for gate in gates.values():
        gate.open()

    assert list(attempt.resume(await running)) == ["left", "right"]
    for gate in gates.values():
        counts = Counter(gate.ledger)
        assert counts["first"] == 1  # what is in a checkpoint is not run again
        assert counts["waiting"] <= 2  # a node that was at work is
    assert attempt.asked() == {"left": 1, "right": 1}


async def test_a_retry_pays_for_no_agent_that_has_succeeded(desk):
    agents, gates = gated(desk, "one", "two")
    for gate in gates.values():
        gate.open()
    bad = [agents[0], {"name": "two", "type": "raises"}]
    first = Try(desk, bad, "sequential", run="retried")
    with pytest.raises(RunFailed, match=r"^agent 'two': "):
        first.resume(await fire(first.defer()))
    second = Try(desk, agents, "sequential", run="retried", number=2)
    assert list(second.resume(await fire(second.defer()))) == ["one", "two"]
    assert [gate.ledger for gate in gates.values()] == [RAN_ONCE] * 2


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
async def test_a_kill_ends_what_is_at_work(desk, mode):
    agents, gates = gated(desk, "one", "two")
    gates["one"].open()
    attempt = Try(desk, agents, mode)
    trigger = attempt.defer()
    running = asyncio.create_task(fire(trigger))
    await written(gates["two"], "waiting")
    await written(gates["one"], "last")
    await trigger.on_kill()
    await dropped(running)
    answer = await asyncio.to_thread(desk.answer, correlation_id(attempt.id, "two"))
    assert answer.status == "cancelled"
    gates["two"].open()
    assert "passed" not in gates["two"].ledger


async def test_the_rest_is_cancelled_where_one_fails(desk):
    agents, gates = gated(desk, "slow")
    attempt = Try(desk, [*agents, {"name": "bad", "type": "raises"}], "parallel")
    with pytest.raises(RunFailed, match=r"^agent 'bad': "):
        attempt.resume(await fire(attempt.defer()))
    answer = await asyncio.to_thread(desk.answer, correlation_id(attempt.id, "slow"))
    assert answer.status == "cancelled"
    assert "passed" not in gates["slow"].ledger


async def test_those_that_succeed_are_enough(desk):
    agents = [{"name": "good", "type": "echo", "input_data": {"task": "t"}}, {"name": "bad", "type": "raises"}]
    attempt = Try(desk, agents, "parallel", policy="all_done")
    assert attempt.resume(await fire(attempt.defer())) == {"good": {"task": "t", "value": "t"}}
    assert attempt.pushed["errors"]["bad"]["status"] == "failure"


async def test_what_an_orchestrator_answers_is_followed_or_refused(desk):
    agents = [{"name": "good", "type": "echo", "input_data": {"task": "t"}}]
    attempt = Try(desk, agents, "supervisor", orchestrator={"type": "echo"})
    with pytest.raises(FinalAgentsFailed, match="the result of 'orchestrator#1' has no key 'next'"):
        attempt.resume(await fire(attempt.defer()))


@pytest.mark.parametrize("deferrable", [True, False])
def test_agents_that_answer_soon_need_no_deferral(desk, deferrable):
    agents = [{"name": "one", "type": "echo", "input_data": {"task": "t"}}, {"name": "two", "type": "echo"}]
    attempt = Try(desk, agents, "sequential", deferrable=deferrable, defer_after=60)
    assert attempt.operator.execute(attempt.context) == {
        "one": {"task": "t", "value": "t"},
        "two": {"task": "t", "value": "t"},
    }
    assert attempt.asked() == {"one": 1, "two": 1}


def test_what_its_slot_has_asked_its_trigger_goes_on_with(desk):
    agents, gates = gated(desk, "one", "two")
    gates["one"].open()
    attempt = Try(desk, agents, "sequential", defer_after=8)
    trigger = attempt.defer()
    gates["two"].wait_for("waiting")
    gates["two"].open()
    assert list(attempt.resume(asyncio.run(fire(trigger)))) == ["one", "two"]
    assert attempt.asked() == {"one": 1, "two": 1}
    assert [gate.ledger for gate in gates.values()] == [RAN_ONCE] * 2
