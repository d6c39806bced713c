"""Who ended a trigger, and whether its agent has to end too. Airflow's side is played; with real ones: tests/system."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers import cancel, connections
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger

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
def sent(monkeypatch):
    """Requests whose cancel was handed over."""
    sent = []
    monkeypatch.setattr(cancel, "send_cancel", lambda handle, settings, reason: sent.append(handle.correlation_id))

    async def settings(kafka_config_id):
        return {"bootstrap.servers": "b"}

    monkeypatch.setattr(connections, "fresh_settings", settings)
    return sent


@pytest.fixture
async def runner():
    runner = TriggerRunner()
    task = asyncio.create_task(runner.arun())
    await asyncio.sleep(0)
    cancel.note_runner(None)
    yield runner
    runner.stopped.set()
    await task


def instance(map_index=-1):
    return SimpleNamespace(dag_id="dag", run_id="run", task_id="agent", map_index=map_index)


async def settled():
    """Until all that was started has ended."""
    while cancel._under_way:
        await asyncio.wait(set(cancel._under_way))


@pytest.mark.usefixtures("runner")
class TestKill:
    @pytest.mark.parametrize("state", ["failed", "success", "scheduled", "queued", "running", "skipped", None])
    async def test_a_task_that_is_not_deferred_any_more_was_killed(self, supervisor, sent, state):
        supervisor.answers = [{"run": {"agent": state}}]
        cancel.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_one_that_is_gone_was_too(self, supervisor, sent):
        supervisor.answers = [{}]
        cancel.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_one_that_is_still_deferred_was_taken_over(self, supervisor, sent):
        supervisor.answers = [{"run": {"agent": "deferred"}}]
        cancel.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == []

    async def test_a_mapped_one_is_asked_for_by_its_own_name(self, supervisor, sent):
        supervisor.answers = [{"run": {"agent": "deferred", "agent_3": "failed"}}]
        cancel.cancel_unless_deferred(HANDLE, instance(3))
        await settled()
        assert sent == [HANDLE.correlation_id]
        assert supervisor.asked[0].map_index == 3

    async def test_an_error_is_no_answer(self, supervisor, sent, monkeypatch):
        supervisor.answers = [RuntimeError("the server is away"), {"run": {"agent": "failed"}}]
        monkeypatch.setattr(cancel.asyncio, "sleep", lambda _: asyncio.wait([asyncio.create_task(settled_once())]))
        cancel.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_no_answer_ends_no_agent(self, supervisor, sent, monkeypatch):
        monkeypatch.setattr(cancel, "GUARD_SECONDS", 0.05)
        supervisor.answers = [{"run": {"agent": "failed"}}]
        supervisor.released.clear()
        cancel.cancel_unless_deferred(HANDLE, instance())
        while any(task.get_coro().__name__ == "_cancel" for task in cancel._under_way):
            await asyncio.wait(set(cancel._under_way), return_when=asyncio.FIRST_COMPLETED)
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

    async def test_after_a_standstill_an_answer_counts_more(self, supervisor, sent, monkeypatch):
        supervisor.answers = [{"run": {"agent": "success"}}]
        monkeypatch.setitem(cancel._woke_at, asyncio.get_running_loop(), asyncio.get_running_loop().time())
        answered = []

        async def is_answered(handle, settings):
            return answered

        monkeypatch.setattr(cancel, "_is_answered", is_answered)
        answered.append("it is")
        cancel.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == []
        answered.clear()
        cancel.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_the_answer_counts_however_long_airflow_took_to_say_that_it_was_killed(
        self, supervisor, sent, monkeypatch
    ):
        supervisor.answers = [{"run": {"agent": "success"}}]
        supervisor.released.clear()
        loop = asyncio.get_running_loop()
        monkeypatch.setitem(cancel._woke_at, loop, loop.time())

        async def is_answered(handle, settings):
            return True

        monkeypatch.setattr(cancel, "_is_answered", is_answered)
        cancel.cancel_unless_deferred(HANDLE, instance())
        await asyncio.sleep(0)  # it has begun, and asks
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + 2 * cancel.SUSPICIOUS_SECONDS)
        supervisor.released.set()
        await settled()
        assert sent == []

    @pytest.mark.parametrize("is_answered", [True, False])
    async def test_a_late_answer_is_not_believed_without_a_look(self, supervisor, sent, monkeypatch, is_answered):
        """Airflow's answer: another triggerer may have taken the task over, and brought it to its end meanwhile."""
        supervisor.answers = [{"run": {"agent": "success"}}]
        supervisor.released.clear()
        looked = []

        async def look(handle, settings):
            looked.append(handle)
            return is_answered

        monkeypatch.setattr(cancel, "_is_answered", look)
        cancel.cancel_unless_deferred(HANDLE, instance())
        await asyncio.sleep(0)  # it has begun, and asks
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + 2 * cancel.PROMPT_SECONDS)
        supervisor.released.set()
        await settled()
        assert looked == [HANDLE]
        assert sent == ([] if is_answered else [HANDLE.correlation_id])

    async def test_a_connection_that_cannot_be_read_for_a_moment_costs_no_cancel(self, supervisor, sent, monkeypatch):
        supervisor.answers = [{"run": {"agent": "failed"}}]
        answers = [TimeoutError("the server is away"), {"bootstrap.servers": "b"}]

        async def settings(kafka_config_id):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(connections, "fresh_settings", settings)
        monkeypatch.setattr(cancel.asyncio, "sleep", lambda _: asyncio.wait([asyncio.create_task(settled_once())]))
        cancel.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == [HANDLE.correlation_id]

    async def test_one_that_cannot_be_read_at_all_is_told_with_its_request(self, supervisor, sent, monkeypatch, caplog):
        supervisor.answers = [{"run": {"agent": "failed"}}]
        monkeypatch.setattr(cancel, "GUARD_SECONDS", 0.05)

        async def settings(kafka_config_id):
            raise TimeoutError("the server is away")

        monkeypatch.setattr(connections, "fresh_settings", settings)
        cancel.cancel_unless_deferred(HANDLE, instance())
        await settled()
        assert sent == []
        assert f"Request {HANDLE.correlation_id} is not cancelled: connection 'kafka_default'" in caplog.text
        assert "the server is away" in caplog.text


async def settled_once():
    """Some turns of the loop, in the place of a pause."""


class TestCancelled:
    """Whatever Airflow tells it, a trigger finds out in its CancelledError."""

    @pytest.fixture
    def ended(self, monkeypatch):
        """Runs a trigger that waits, cancels it, and tells whether that passed for a kill."""
        told = []
        monkeypatch.setattr(cancel, "cancel_unless_deferred", lambda handle, ti: told.append(handle.correlation_id))

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
            return told

        return ended

    async def test_the_runner_has_cancelled_it(self, runner, ended):
        async def end(task, inner):
            task.cancel()

        assert await ended(end) == [HANDLE.correlation_id]

    @pytest.mark.parametrize(("kind", "kills"), [("result", []), ("broken", [HANDLE.correlation_id])])
    async def test_the_runner_has_cancelled_it_when_it_had_its_reply(self, runner, monkeypatch, kind, kills):
        """It holds its reply for some seconds. What has answered is not cancelled; what gave up is."""
        told = []
        monkeypatch.setattr(cancel, "cancel_unless_deferred", lambda handle, ti: told.append(handle.correlation_id))
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
        assert told == kills

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
