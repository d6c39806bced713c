"""The agents of one task, wherever it waits: what is asked is waited for, and what comes next is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from airflow_provider_langgraph.exceptions import (
    KafkaError,
    KafkaSettingsError,
    MessageRefusedError,
    SettingsError,
    WaitError,
)
from airflow_provider_langgraph.requests.agent_replies import AgentReplies, StepAnswer, answer_of, packed
from airflow_provider_langgraph.requests.agent_work import AgentWork
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.orchestration import Step, StepEnd, next_move
from airflow_provider_langgraph.requests.reply import MOST_BYTES, Reply, reply_of
from airflow_provider_langgraph.task_log.agent_log import AgentLog
from airflow_provider_langgraph.waiting.reply_wait import is_answered_by_now, wait_for_reply
from airflow_provider_langgraph.waiting.step_publishing import publish_step
from workflow_events.codec import Record
from workflow_events.plain_text import one_line

LOOK_SECONDS = 30.0
"""How long at most a reply from before the trigger's start is looked for."""

Wait = Callable[[RequestHandle, Any], Awaitable[Record]]


class AgentsRun:
    """Runs the agents of one task. Belongs to one event loop.

    A step that is not known to be published is published, by the id that it has whoever asks: one that ran before the
    triggerer was killed is found by its reply, and one that is under way is not run twice.

    :param log: the task's logger.
    :param is_first: no other run can have asked for more than ``work`` says: there is nothing to look for.
    :param wait: waits for one reply; None: :func:`wait_for_reply`.
    :param most_bytes: the most that is passed on, of all replies together.
    """

    def __init__(
        self,
        work: AgentWork,
        log: Any,
        *,
        is_first: bool = False,
        wait: Wait | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._log = log
        self._wait = wait or wait_for_reply
        self._most_bytes = most_bytes
        self._is_caught_up = is_first
        self._running: dict[asyncio.Task[Reply], Step] = {}
        self._answers: dict[str, StepAnswer] = {}
        self._ends: dict[str, StepEnd] = {}
        self.work = work

    async def run(self) -> AgentReplies:
        """Ask until the task is over; the replies.

        To be cancelled at any time: what :meth:`under_way` gives then may still be at work.
        """
        try:
            await self._catch_up()
            while not (move := next_move(self.work.plan, self._ends, self.work.handles)).is_over:
                self._start(move.steps)
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for waited in [one for one in self._running if one in done]:  # in the author's order
                    await self._note(waited)
            return packed(self.work, self._answers, move.problem, self._most_bytes)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def run_within(self, seconds: float) -> AgentReplies | None:
        """:meth:`run` for so many seconds at most. None: some are still to come, or cannot be waited for."""
        try:
            async with asyncio.timeout(seconds):
                replies = await self.run()
        except TimeoutError:
            return None
        except Exception as error:  # noqa: BLE001 - as for one reply, the wait that follows takes its time over it
            self._log.info("The replies cannot be waited for in the slot: %s", one_line(str(error)))
            return None
        is_complete = all(answer.reply["kind"] == "result" for answer in self._answers.values())
        return replies if is_complete else None

    def under_way(self) -> list[list[RequestHandle]]:
        """The requests that may be at work: asked, or asked for at this moment, and not answered.

        Until it is known how far an earlier run of the same task came, all that it may have asked, in chains as from
        :meth:`AgentWork.chains`.
        """
        if self._is_caught_up:
            return [[one] for one in self.left_over()]
        return self.work.chains(self._ends)

    def left_over(self) -> list[RequestHandle]:
        """Once the task is over: the requests that were asked and have not answered."""
        asked = [*self.work.handles, *(step.name for step in self._running.values())]
        return [self.work.handle_of(name) for name in dict.fromkeys(asked) if name not in self._ends]

    async def _catch_up(self) -> None:
        """Of agents that run in parallel, take all replies that are there before the first one is judged: an earlier
        run has cancelled the others of one that failed, and the failure comes before what it led to.
        """
        if self._is_caught_up or self.work.plan.mode != "parallel":
            return
        handles = self.work.handles
        answered = await asyncio.gather(*(is_answered_by_now(one, LOOK_SECONDS) for one in handles.values()))
        self._start(tuple(Step(step, step, None) for step, is_there in zip(handles, answered, strict=True) if is_there))
        if self._running:
            await asyncio.wait(self._running)
        for waited in list(self._running):
            await self._note(waited)
        self._is_caught_up = True  # the task has published all of them

    def _start(self, steps: tuple[Step, ...]) -> None:
        running = {step.name for step in self._running.values()}
        for step in steps:
            if step.name not in running:
                self._running[asyncio.get_running_loop().create_task(self._answer(step))] = step

    async def _note(self, waited: asyncio.Task[Reply]) -> None:
        step = self._running[waited]
        answer = await asyncio.to_thread(answer_of, waited.result())  # a large one takes its time
        del self._running[waited]
        self._answers[step.name], self._ends[step.name] = answer, answer.end

    async def _answer(self, step: Step) -> Reply:
        log = AgentLog(self._log, step.name)
        try:
            handle = await self._asked(step, log)
            record = await self._wait(handle, log)
        except TimeoutError as error:
            return Reply(kind="silence", error=str(error), heard=getattr(error, "heard", ""))
        except (SettingsError, MessageRefusedError) as error:
            return Reply(kind="unsent", error=str(error))
        except KafkaSettingsError as error:
            return Reply(kind="refused", error=str(error))
        except (WaitError, KafkaError) as error:
            return Reply(kind="broken", error=str(error))
        return reply_of(record, str(handle.correlation_id), self._most_bytes)

    async def _asked(self, step: Step, log: AgentLog) -> RequestHandle:
        """The handle of a step that is published by now."""
        handle = self.work.handle_of(step.name)
        is_published = step.name in self.work.handles
        if not self._is_caught_up and self.work.plan.mode != "parallel":
            is_answered = await is_answered_by_now(handle, LOOK_SECONDS)
            self._is_caught_up = is_answered is False
            is_published = is_published or is_answered is True
        if is_published:
            return handle
        event = await asyncio.to_thread(self.work.event, step)  # what is handed on may be large
        handle = await publish_step(event, handle, log, self.work.traceparent)
        self.work = self.work.published({step.name: handle})
        return handle
