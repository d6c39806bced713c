"""Who ended a trigger, and whether its agent has to end too. Airflow's side is played; with real ones: tests/system."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger
from airflow_provider_langgraph.waiting import cancel_on_kill, connection_cache, shared_consumer

HANDLE = RequestHandle(uuid4(), "d", "r", "kafka_default", "e", "r", "c", {0: 1}, datetime.now(UTC))


class TriggerRunner:
    """What runs triggers, under the name by which it is known."""

    def __init__(self):
        self.stopped = asyncio.Event()

    async def arun(self):
        await self.stopped.wait()


class Supervisor:
    """Answers for the state of tasks."""

    def __init__(self):
        self.answers = []
        self.asked = []
        self.released = asyncio.Event()
        self.released.set()

    async def asend(self, question):
        self.asked.append(question)
        await self.released.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(task_states=answer)


@pytest.fixture
def supervisor(monkeypatch):
    supervisor = Supervisor()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture
def answered():
    """Requests whose reply is on the topic."""
    return set()


@pytest.fixture
def consumer(monkeypatch, answered):
    """What reads the topic."""

    async def is_answered(handle):
        return handle.correlation_id in answered

    consumer = SimpleNamespace(is_answered=is_answered)

    @asynccontextmanager
    async def shared(settings, topic):
        assert topic == HANDLE.results_topic
        yield consumer

    monkeypatch.setattr(shared_consumer, "shared_consumer", shared)
    return consumer


@pytest.fixture
def sent(monkeypatch, consumer):
    """Requests whose cancel was handed over."""
    sent = []
    monkeypatch.setattr(
        cancel_on_kill, "send_cancel", lambda handle, settings, reason: sent.append(handle.correlation_id)
    )

    async def settings(kafka_config_id):
        return {"bootstrap.servers": "b"}

    monkeypatch.setattr(connection_cache, "fresh_settings", settings)
    return sent


@pytest.fixture
async def runner():
    runner = TriggerRunner()
    task = asyncio.create_task(runner.arun())
    await asyncio.sleep(0)
    cancel_on_kill.note_runner(None)
    yield runner
    runner.stopped.set()
    await task


def instance(map_index=-1):
    return SimpleNamespace(dag_id="dag", run_id="run", task_id="agent", map_index=map_index)


async def settled():
    """Until all that was started has ended."""
    while cancel_on_kill._under_way:
        await asyncio.wait(set(cancel_on_kill._under_way))


@pytest.mark.usefixtures("runner")
class TestKill:
    @pytest.mark.parametrize("state", ["failed", "success", "scheduled", "queued", "running", "skipped", None])
    async def test_a_task_that_is_not_deferred_any_more_was_killed(self, supervisor, sent, state):
        supervisor.answers = [{"run": {"agent": state}}]
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_one_that_is_gone_was_too(self, supervisor, sent):
        supervisor.answers = [{}]
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_one_that_is_still_deferred_was_taken_over(self, supervisor, sent):
        supervisor.answers = [{"run": {"agent": "deferred"}}]
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == []

    @pytest.mark.parametrize(
        ("state", "is_killed"),
        [
            ("scheduled", False),
            ("queued", False),
            ("running", False),
            ("failed", True),
            ("success", True),
            (None, True),
        ],
    )
    async def test_one_that_airflow_may_resume_for_an_answer_goes_on(self, supervisor, sent, state, is_killed):
        supervisor.answers = [{"run": {"agent": state}}]
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance(), may_be_resumed=True)
        await settled()
        assert sent == ([HANDLE.correlation_id] if is_killed else [])

    async def test_a_mapped_one_is_asked_for_by_its_own_name(self, supervisor, sent):
        supervisor.answers = [{"run": {"agent": "deferred", "agent_3": "failed"}}]
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance(3))
        await settled()
        assert sent == [HANDLE.correlation_id]
        assert supervisor.asked[0].map_index == 3

    async def test_an_error_is_no_answer(self, supervisor, sent, monkeypatch):
        supervisor.answers = [RuntimeError("the server is away"), {"run": {"agent": "failed"}}]
        monkeypatch.setattr(cancel_on_kill, "RETRY_SECONDS", 0.0)
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_no_answer_ends_no_agent(self, supervisor, sent, monkeypatch):
        monkeypatch.setattr(cancel_on_kill, "GUARD_SECONDS", 0.05)
        supervisor.answers = [{"run": {"agent": "failed"}}]
        supervisor.released.clear()
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        while any(task.get_coro().__name__ == "_cancel" for task in cancel_on_kill._under_way):
            await asyncio.wait(set(cancel_on_kill._under_way), return_when=asyncio.FIRST_COMPLETED)
        assert sent == []
        supervisor.released.set()  # a question is never given up midway
        await settled()

    async def test_on_kill_returns_at_once(self, supervisor, sent):
        supervisor.answers = [{"run": {"agent": "failed"}}]
        supervisor.released.clear()
        trigger = WorkflowResultTrigger(handle=HANDLE.to_dict(), not_before=HANDLE.deadline.isoformat())
        trigger.task_instance = instance()
        await trigger.on_kill()
        await trigger.on_kill()  # as Airflow calls it, after run() has
        assert sent == []
        supervisor.released.set()
        await settled()
        assert sent == [HANDLE.correlation_id]

    @pytest.mark.parametrize("state", ["failed", "success", "scheduled", "queued", "running", None])
    async def test_one_that_has_its_answer_was_not_killed(self, supervisor, sent, answered, state):
        """Two triggerers may wait for it. The other one has brought it its answer, so that it went on."""
        supervisor.answers = [{"run": {"agent": state}}]
        answered.add(HANDLE.correlation_id)
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == []

    async def test_the_answer_is_looked_for_after_airflow_has_told_the_state(self, supervisor, sent, answered):
        supervisor.answers = [{"run": {"agent": "success"}}]
        supervisor.released.clear()
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await asyncio.sleep(0)  # it has begun, and asks
        answered.add(HANDLE.correlation_id)
        supervisor.released.set()
        await settled()
        assert sent == []

    @pytest.mark.parametrize("trouble", ["it never says", "it has failed"])
    async def test_what_cannot_be_looked_for_is_cancelled(self, supervisor, sent, monkeypatch, consumer, trouble):
        supervisor.answers = [{"run": {"agent": "failed"}}]
        monkeypatch.setattr(cancel_on_kill, "LOOK_SECONDS", 0.05)

        async def is_answered(handle):
            if trouble == "it never says":
                await asyncio.Event().wait()
            raise WaitError("the consumer has failed")

        consumer.is_answered = is_answered
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    @pytest.mark.parametrize(
        ("with_reply", "cancelled"), [("", "ax"), ("a", "bx"), ("ab", "cx"), ("abc", "x"), ("abcx", ""), ("b", "ax")]
    )
    async def test_what_follows_one_without_an_answer_was_not_asked(
        self, supervisor, sent, answered, with_reply, cancelled
    ):
        supervisor.answers = [{"run": {"agent": "failed"}}]
        one = {name: replace(HANDLE, correlation_id=uuid4()) for name in "abcx"}
        answered |= {one[name].correlation_id for name in with_reply}
        cancel_on_kill.cancel_all_unless_deferred([[one[name] for name in "abc"], [one["x"]]], instance())
        await settled()
        assert sent == [one[name].correlation_id for name in cancelled]

    async def test_where_nothing_can_be_looked_for_all_that_may_have_been_asked_is_cancelled_once(
        self, supervisor, sent, answered, consumer
    ):
        supervisor.answers = [{"run": {"agent": "failed"}}]
        one = {name: replace(HANDLE, correlation_id=uuid4()) for name in "abc"}

        async def is_answered(handle):
            raise WaitError("the consumer has failed")

        consumer.is_answered = is_answered
        cancel_on_kill.cancel_all_unless_deferred([[one["a"], one["b"]], [one["a"], one["c"]]], instance())
        await settled()
        assert sent == [one[name].correlation_id for name in "abc"]

    async def test_a_connection_that_cannot_be_read_for_a_moment_costs_no_cancel(self, supervisor, sent, monkeypatch):
        supervisor.answers = [{"run": {"agent": "failed"}}]
        answers = [TimeoutError("the server is away"), {"bootstrap.servers": "b"}]

        async def settings(kafka_config_id):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(connection_cache, "fresh_settings", settings)
        monkeypatch.setattr(cancel_on_kill, "RETRY_SECONDS", 0.0)
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_one_that_cannot_be_read_at_all_is_reported_with_its_request(
        self, supervisor, sent, monkeypatch, caplog
    ):
        supervisor.answers = [{"run": {"agent": "failed"}}]
        monkeypatch.setattr(cancel_on_kill, "GUARD_SECONDS", 0.05)

        async def settings(kafka_config_id):
            raise TimeoutError("the server is away")

        monkeypatch.setattr(connection_cache, "fresh_settings", settings)
        cancel_on_kill.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == []
        assert "Not cancelled: connection 'kafka_default' cannot be read" in caplog.text
        assert "the server is away" in caplog.text


class TestCancelled:
    """A trigger finds out in its CancelledError whether it was killed: Airflow does not say."""

    @pytest.fixture
    def ended(self, monkeypatch):
        """Runs a trigger that waits, cancels it, and returns the requests that were then cancelled."""
        cancelled = []
        monkeypatch.setattr(
            cancel_on_kill,
            "cancel_unless_deferred",
            lambda handle, ti, goes_on: cancelled.append(handle.correlation_id),
        )

        async def ended(end):
            trigger = WorkflowResultTrigger(handle=HANDLE.to_dict(), not_before=HANDLE.deadline.isoformat())
            inner = asyncio.get_running_loop().create_future()
            begun = asyncio.Event()

            async def waits(handle):
                begun.set()
                return await inner

            trigger._reply = waits
            task = asyncio.create_task(anext(trigger.run()))
            await begun.wait()
            await end(task, inner)
            with pytest.raises(asyncio.CancelledError):
                await task
            return cancelled

        return ended

    async def test_the_runner_has_cancelled_it(self, runner, ended):
        async def end(task, inner):
            task.cancel()

        assert await ended(end) == [HANDLE.correlation_id]

    @pytest.mark.parametrize(("kind", "kills"), [("result", []), ("broken", [HANDLE.correlation_id])])
    async def test_the_runner_has_cancelled_it_when_it_had_its_reply(self, runner, monkeypatch, kind, kills):
        """It holds its reply for some seconds. What has answered is not cancelled; what gave up is."""
        cancelled = []
        monkeypatch.setattr(
            cancel_on_kill,
            "cancel_unless_deferred",
            lambda handle, ti, goes_on: cancelled.append(handle.correlation_id),
        )
        later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
        trigger = WorkflowResultTrigger(handle=HANDLE.to_dict(), not_before=later)
        replied = asyncio.Event()

        async def replies(handle):
            replied.set()
            return {"kind": kind}

        trigger._reply = replies
        task = asyncio.create_task(anext(trigger.run()))
        await replied.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled == kills

    async def test_the_triggerer_stops(self, runner, ended):
        async def end(task, inner):
            runner.stopped.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()

        assert await ended(end) == []

    async def test_what_it_waits_for_was_cancelled(self, runner, ended):
        async def end(task, inner):
            inner.cancel()

        assert await ended(end) == []

    async def test_there_is_no_runner(self, ended):
        async def end(task, inner):
            task.cancel()

        assert await ended(end) == []
