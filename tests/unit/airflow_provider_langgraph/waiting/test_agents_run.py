"""The run of several agents, without Kafka: what is asked when, what a run that starts again does, what a kill ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_langgraph.exceptions import MessageRefusedError, SettingsError, WaitError
from airflow_provider_langgraph.requests import agent_replies
from airflow_provider_langgraph.requests.agent_replies import StepAnswer
from airflow_provider_langgraph.requests.agent_work import AgentWork
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.orchestration import AgentPlan, PlannedAgent, StepEnd
from airflow_provider_langgraph.triggers.multi_agent import MultiAgentTrigger
from airflow_provider_langgraph.waiting import agents_run, cancel_on_kill, connection_cache
from airflow_provider_langgraph.waiting.agents_run import AgentsRun
from tests.support import polling
from tests.support.asking_task import TI_ID
from workflow_events import WorkflowResultEvent
from workflow_events.codec import Record, encode
from workflow_events.identity import correlation_id

log = logging.getLogger(__name__)
ATTEMPT = {"task": "t", "id": str(TI_ID), "try_number": 1, "max_tries": 0}
REQUEST = {
    "event_type": "workflow.triggered",
    "source": "airflow",
    "workflow_id": "d",
    "workflow_run_id": "r",
    "attempt": ATTEMPT,
}
NAMES = ("a", "b", "c")


def handle(step):
    deadline = datetime.now(UTC) + timedelta(hours=1)
    return RequestHandle(
        correlation_id(TI_ID, step), "d", "r", "kafka_default", "e", "results", "c", {0: 7}, deadline, "t", "steer", "p"
    )


def work(mode="sequential", published=None, names=NAMES, **fields):
    agents = tuple(PlannedAgent(name) for name in names)
    if mode == "supervisor":
        fields = {"orchestrator": PlannedAgent("boss"), "max_rounds": 2} | fields
    plan = AgentPlan(mode, agents, **fields)
    requests = dict.fromkeys((*names, "boss"), REQUEST)
    first = {"parallel": names, "sequential": names[:1], "supervisor": ("boss#1",)}[mode]
    return AgentWork(plan, requests, {step: handle(step) for step in published or first})


class Fleet:
    """Workers and topics: replies by step, and what was asked and looked for."""

    def __init__(self):
        self.replies = {}
        self.asked = []
        self.looked = []
        self.published = asyncio.Event()
        self.lets_publish = asyncio.Event()
        self.lets_publish.set()
        self.news = asyncio.Condition()

    def step(self, request):
        names = (*NAMES, *(f"{name}#{number}" for name in (*NAMES, "boss") for number in range(1, 4)))
        return next(name for name in names if correlation_id(TI_ID, name) == request)

    async def answer(self, step, result=None, status="success"):
        message = encode(
            WorkflowResultEvent(
                correlation_id=correlation_id(TI_ID, step),
                workflow_id="d",
                workflow_run_id="r",
                status=status,
                result={"from": step} if result is None and status == "success" else result,
            )
        )
        async with self.news:
            self.replies[step] = Record("results", 0, len(self.replies), message.value, message.headers)
            self.news.notify_all()

    async def wait(self, one, _log):
        step = self.step(one.correlation_id)
        async with self.news:
            await self.news.wait_for(lambda: step in self.replies)
        reply = self.replies[step]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def look(self, one, _seconds):
        step = self.step(one.correlation_id)
        self.looked.append(step)
        return step in self.replies

    async def publish(self, event, fleet, _log, _traceparent):
        self.asked.append(event)
        self.published.set()
        await self.lets_publish.wait()
        return replace(fleet, correlation_id=event.event_id)

    @property
    def steps_asked(self):
        return [event.attempt.agent for event in self.asked]


@pytest.fixture
def fleet(monkeypatch):
    fleet = Fleet()
    monkeypatch.setattr(agents_run, "publish_step", fleet.publish)
    monkeypatch.setattr(agents_run, "is_answered_by_now", fleet.look)
    monkeypatch.setattr(agents_run, "wait_for_reply", fleet.wait)
    return fleet


def new_run(fleet, one, **options):
    return AgentsRun(one, log, wait=fleet.wait, **options)


async def settled(times=20):
    for _ in range(times):
        await asyncio.sleep(0)


async def until(condition):
    await polling.until(condition, 10)


async def test_a_sequence_asks_one_after_the_other_and_hands_on(fleet):
    run = new_run(fleet, work())
    running = asyncio.create_task(run.run())
    await fleet.answer("a", {"x": 1})
    await fleet.published.wait()
    assert [event.payload.data for event in fleet.asked] == [{"x": 1}]
    await fleet.answer("b", {"y": 2})
    await fleet.answer("c", {"z": 3})
    replies = (await running)["replies"]
    assert fleet.steps_asked == ["b", "c"]
    assert fleet.asked[1].payload.data == {"y": 2}
    assert list(replies) == ["a", "b", "c"]
    assert run.left_over() == []


async def test_a_run_that_starts_again_finds_what_ended_and_asks_again_only_for_what_did_not(fleet):
    await fleet.answer("a")
    await fleet.answer("b")
    run = new_run(fleet, work())
    running = asyncio.create_task(run.run())
    await fleet.published.wait()
    assert fleet.steps_asked == ["c"]
    assert fleet.asked[0].event_id == correlation_id(TI_ID, "c")
    assert fleet.looked == ["a", "b", "c"]
    await fleet.answer("c")
    assert list((await running)["replies"]) == ["a", "b", "c"]


async def test_what_the_slot_has_asked_is_waited_for_whatever_came_before_it(fleet):
    """All is asked: the trigger gets no inputs, and the result before is null, which could not be handed on."""
    await fleet.answer("a", "null")
    fleet.replies["a"] = replace(fleet.replies["a"], value=fleet.replies["a"].value.replace(b'"null"', b"null"))
    asked = work(published=("a", "b"), names=("a", "b"))
    agents = (PlannedAgent("a"), PlannedAgent("b", {"n": 1}, previous_as="draft"))
    asked = replace(asked, plan=replace(asked.plan, agents=agents))
    run = new_run(fleet, AgentWork.from_json(asked.to_json()))
    running = asyncio.create_task(run.run())
    await until(lambda: fleet.looked == ["a", "b"])
    assert [[fleet.step(one.correlation_id) for one in chain] for chain in run.under_way()] == [["b"]]
    await fleet.answer("b")
    replies = await running
    assert (list(replies["replies"]), replies["problem"]) == (["a", "b"], "")
    assert fleet.asked == []


async def test_once_it_has_caught_up_it_looks_for_nothing_more(fleet):
    run = new_run(fleet, work())
    running = asyncio.create_task(run.run())
    await until(lambda: fleet.looked == ["a"])
    for step in ("a", "b", "c"):
        await fleet.answer(step)
    await running
    assert fleet.looked == ["a"]


async def test_where_nobody_can_have_asked_before_nothing_is_looked_for(fleet):
    await fleet.answer("a")
    run = new_run(fleet, work(), is_first=True)
    running = asyncio.create_task(run.run())
    for step in ("b", "c"):
        await fleet.answer(step)
    await running
    assert fleet.looked == []


class TestUnderWay:
    async def running(self, fleet, one, **options):
        run = new_run(fleet, one, **options)
        running = asyncio.create_task(run.run())
        return run, running

    def steps(self, fleet, run):
        return [fleet.step(one.correlation_id) for chain in run.under_way() for one in chain]

    async def stop(self, running):
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    async def test_a_step_that_is_being_published_counts(self, fleet):
        fleet.lets_publish.clear()
        run, running = await self.running(fleet, work(), is_first=True)
        await fleet.answer("a")
        await fleet.published.wait()
        await self.stop(running)
        assert self.steps(fleet, run) == ["b"]

    async def test_until_it_is_known_how_far_an_earlier_run_came_all_steps_count(self, fleet, monkeypatch):
        async def look(one, seconds):
            await asyncio.Event().wait()

        monkeypatch.setattr(agents_run, "is_answered_by_now", look)
        run, running = await self.running(fleet, work())
        await settled()
        await self.stop(running)
        assert self.steps(fleet, run) == ["a", "b", "c"]

    async def test_then_only_the_one_that_is_at_work(self, fleet):
        run, running = await self.running(fleet, work("supervisor"))
        await until(lambda: fleet.looked == ["boss#1"])
        await settled()
        assert self.steps(fleet, run) == ["boss#1"]
        await fleet.answer("boss#1", {"next": "b"})
        await until(lambda: fleet.steps_asked == ["b#1"])
        await self.stop(running)
        assert self.steps(fleet, run) == ["b#1"]

    async def test_of_parallel_agents_those_that_have_not_answered(self, fleet):
        run, running = await self.running(fleet, work("parallel"))
        await fleet.answer("b")
        await until(lambda: self.steps(fleet, run) == ["a", "c"])
        await self.stop(running)
        assert self.steps(fleet, run) == ["a", "c"]


async def test_a_supervisor_routes(fleet):
    run = new_run(fleet, work("supervisor"), is_first=True)
    running = asyncio.create_task(run.run())
    await fleet.answer("boss#1", {"next": "b", "input": {"x": 1}})
    await fleet.answer("b#1", {"y": 2})
    await fleet.answer("boss#2", {"next": "FINISH", "answer": 42})
    replies = await running
    assert fleet.steps_asked == ["b#1", "boss#2"]
    assert fleet.asked[0].payload.data == {"x": 1}
    assert fleet.asked[1].payload.data["results"] == [{"agent": "b", "result": {"y": 2}}]
    assert {agent: reply["step"] for agent, reply in replies["replies"].items()} == {"boss": "boss#2", "b": "b#1"}
    assert replies["problem"] == ""


async def test_the_first_failure_ends_parallel_agents_and_leaves_the_others_over(fleet):
    run = new_run(fleet, work("parallel"), is_first=True)
    running = asyncio.create_task(run.run())
    await fleet.answer("b", status="failure")
    assert list((await running)["replies"]) == ["b"]
    assert [fleet.step(one.correlation_id) for one in run.left_over()] == ["a", "c"]


async def test_a_failure_counts_before_what_an_earlier_run_has_cancelled_for_it(fleet):
    """Both are on the topic as the run starts again. The first one judged would end it."""
    await fleet.answer("a", status="cancelled")
    await fleet.answer("b", status="failure")

    async def wait(one, log):
        if fleet.step(one.correlation_id) == "b":
            await settled(2_000)  # its reply is found a moment later
        return await fleet.wait(one, log)

    run = AgentsRun(work("parallel"), log, wait=wait)
    assert set((await run.run())["replies"]) == {"a", "b"}


async def test_a_quorum_is_over_as_soon_as_it_is_reached(fleet):
    run = new_run(fleet, work("parallel", policy="quorum", quorum=2), is_first=True)
    running = asyncio.create_task(run.run())
    await fleet.answer("c")
    await settled()
    assert not running.done()
    await fleet.answer("a")
    assert set((await running)["replies"]) == {"a", "c"}
    assert [fleet.step(one.correlation_id) for one in run.left_over()] == ["b"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("no broker"), "silence"),
        (WaitError("not to be read"), "broken"),
        (SettingsError("input: too large"), "unsent"),
        (MessageRefusedError("too large"), "unsent"),
    ],
)
async def test_what_comes_instead_of_a_reply_ends_its_agent(fleet, error, kind):
    fleet.replies["a"] = error
    fleet.looked = None
    run = new_run(fleet, work(), is_first=True)
    reply = (await run.run())["replies"]["a"]
    assert (reply["kind"], reply["error"]) == (kind, str(error))


async def test_what_is_handed_on_and_cannot_be_sent_is_one_clear_error(fleet, monkeypatch):
    await fleet.answer("a")
    ends = iter([StepEnd(is_success=True, result={"n": float("nan")}), StepEnd(is_success=False)])
    monkeypatch.setattr(agents_run, "answer_of", lambda reply: StepAnswer(reply, next(ends)))
    reply = (await new_run(fleet, work(names=("a", "b")), is_first=True).run())["replies"]["b"]
    assert reply["kind"] == "unsent"
    assert "It must be JSON, which has no NaN" in reply["error"]


async def test_no_reply_is_read_on_the_event_loop(fleet, monkeypatch):
    """Large ones of some agents would hold up all triggers."""
    threads = []

    def noted(real):
        def call(*arguments):
            threads.append(threading.current_thread())
            return real(*arguments)

        return call

    monkeypatch.setattr(agent_replies, "decode_reply", noted(agent_replies.decode_reply))
    monkeypatch.setattr(AgentWork, "event", noted(AgentWork.event))
    for step in ("a", "b"):
        await fleet.answer(step)
    await new_run(fleet, work(names=("a", "b")), is_first=True).run()
    assert len(threads) == 3  # two replies, and the request that hands the first one on
    assert threading.main_thread() not in threads


async def test_what_it_has_asked_is_left_to_another(fleet):
    run = new_run(fleet, work(), is_first=True)
    running = asyncio.create_task(run.run_within(3600))
    await fleet.answer("a")
    await until(lambda: "b" in run.work.handles)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert list(run.work.handles) == ["a", "b"]


async def test_after_its_time_or_if_kafka_fails_it_has_no_replies(fleet):
    assert await new_run(fleet, work(), is_first=True).run_within(0) is None
    fleet.replies["a"] = WaitError("not to be read")
    assert await new_run(fleet, work(), is_first=True).run_within(3600) is None


class TestTrigger:
    @pytest.fixture
    def cancelled(self, monkeypatch, fleet):
        """Steps whose cancel was handed over."""
        cancelled = []
        monkeypatch.setattr(
            cancel_on_kill,
            "send_cancel",
            lambda one, settings, reason: cancelled.append(fleet.step(one.correlation_id)),
        )

        async def settings(kafka_config_id):
            return {}

        monkeypatch.setattr(connection_cache, "fresh_settings", settings)
        return cancelled

    @pytest.fixture
    def killed(self, monkeypatch, fleet):
        """Steps that a kill has to cancel."""
        killed = []
        monkeypatch.setattr(
            cancel_on_kill,
            "cancel_all_unless_deferred",
            lambda chains, _: killed.extend(fleet.step(one.correlation_id) for chain in chains for one in chain),
        )
        return killed

    def test_it_can_be_built_again_from_what_it_serializes(self):
        path, arguments = MultiAgentTrigger(work=work().to_json(), not_before="2026-11-30T00:00:00+00:00").serialize()
        assert path == "airflow_provider_langgraph.triggers.multi_agent.MultiAgentTrigger"
        assert MultiAgentTrigger(**arguments).serialize() == (path, arguments)

    async def test_it_fires_once_and_cancels_what_is_of_no_use_any_more(self, fleet, cancelled):
        await fleet.answer("b", status="failure")
        events = [event async for event in MultiAgentTrigger(work=work("parallel").to_json()).run()]
        assert [list(event.payload["replies"]) for event in events] == [["b"]]
        assert cancelled == ["a", "c"]

    async def test_a_kill_cancels_once_what_may_be_at_work(self, fleet, killed):
        trigger = MultiAgentTrigger(work=work().to_json())
        await trigger.on_kill()  # before it has begun
        await trigger.on_kill()
        assert killed == ["a", "b", "c"]

    async def test_a_kill_after_the_last_reply_cancels_nothing(self, fleet, killed, cancelled):
        for name in NAMES:
            await fleet.answer(name)
        trigger = MultiAgentTrigger(work=work("parallel").to_json())
        [_] = [event async for event in trigger.run()]
        await trigger.on_kill()
        assert killed == cancelled == []

    async def test_its_log_says_which_agents_it_waits_for(self, fleet, capsys):
        for name in NAMES:
            await fleet.answer(name)
        [_] = [event async for event in MultiAgentTrigger(work=work("parallel").to_json()).run()]
        assert "Waiting for the agents a, b, c (parallel), until " in capsys.readouterr().out
