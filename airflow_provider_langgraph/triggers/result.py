"""The trigger that a deferred task leaves behind. It is thin: the shared consumer does the work."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_langgraph.airflow_compat import triggerer
from airflow_provider_langgraph.airflow_compat.single_process import is_dags_test
from airflow_provider_langgraph.exceptions import KafkaSettingsError, WaitError
from airflow_provider_langgraph.requests.cancel import KILLED, Canceller
from airflow_provider_langgraph.requests.deadline import latest_reply
from airflow_provider_langgraph.requests.early_resume import LONGEST_HOLD
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.reply import Reply, reply_of
from airflow_provider_langgraph.requests.topics import with_configured_topics
from airflow_provider_langgraph.waiting import cancel_on_kill
from airflow_provider_langgraph.waiting.handle_client import client_of
from workflow_events.log_words import in_seconds, in_utc, short_id

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["WorkflowResultTrigger"]

# What waits loads confluent-kafka, so it is imported only where a trigger runs: the operator's module, and with it
# every DAG file, imports this one.

_WAIT = "airflow_provider_langgraph.waiting.reply_wait"
_wait: ModuleType | None = None


class WorkflowResultTrigger(BaseTrigger):
    """Waits for the reply to one request and fires one event with it, whose payload is a
    :class:`~airflow_provider_langgraph.requests.reply.Reply`.

    :param handle: :meth:`RequestHandle.to_dict <airflow_provider_langgraph.requests.handle.RequestHandle.to_dict>`.
    :param not_before: the instant, as ISO 8601, before which no event is fired: see
        :func:`airflow_provider_langgraph.requests.early_resume.earliest_resume`. Empty: at once.
    :param cancel_on_kill: whether the request is cancelled if the task is killed while it waits. False for a task that
        did not publish it.
    :param may_be_resumed: whether Airflow may resume the task before the reply is there, for the answer to an earlier
        question of its agent. A task that goes on then is not taken for a killed one.
    """

    def __init__(
        self,
        handle: dict[str, Any],
        not_before: str = "",
        cancel_on_kill: bool = True,
        may_be_resumed: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.handle = handle
        self.not_before = not_before
        self.cancel_on_kill = cancel_on_kill
        self.may_be_resumed = may_be_resumed
        self._is_ended = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments that build this trigger again."""
        arguments: dict[str, Any] = {"handle": self.handle, "not_before": self.not_before}
        if not self.cancel_on_kill:  # a triggerer of an older version, which knows no such argument, runs all others
            arguments["cancel_on_kill"] = False
        if self.may_be_resumed:
            arguments["may_be_resumed"] = True
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        handle = self._handle()
        cancel_on_kill.note_runner(self.task_instance)
        self._log_start(handle)
        try:
            reply = await self._reply(handle)
            self._is_ended = reply["kind"] == "result"  # from here on, the end of the trigger ends no agent
            held = self._held_seconds()
            if reply["kind"] == "result":
                self.log.info("Answered%s%s", _after(handle), _held(held))
            await asyncio.sleep(held)
        except asyncio.CancelledError:
            if is_dags_test():
                self._cancel_before_the_process_ends(handle)
            elif triggerer.is_cancelled_from_outside():
                await self.on_kill()
            raise
        yield TriggerEvent(reply)

    def _log_start(self, handle: RequestHandle) -> None:
        self.log.info(
            "Waiting for the answer, until %s at the latest (request %s on %s)",
            in_utc(latest_reply(handle.deadline, datetime.now(UTC))),
            short_id(handle.correlation_id),
            handle.results_topic,
        )

    def _held_seconds(self) -> float:
        if not self.not_before:
            return 0.0
        early = datetime.fromisoformat(self.not_before) - datetime.now(UTC)
        return max(min(early, LONGEST_HOLD).total_seconds(), 0.0)

    async def on_kill(self) -> None:
        """Cancel the request if its task was killed, cleared or marked while it waited. Returns at once.

        :meth:`run` calls it in every version of Airflow; Airflow itself calls it from 3.3 on, but not always where
        many triggers end at once. It is also called when another triggerer has taken over: that cancels nothing.
        """
        if self._may_cancel():
            cancel_on_kill.cancel_unless_deferred(self._handle(), self.task_instance, self.may_be_resumed)

    def _cancel_before_the_process_ends(self, handle: RequestHandle) -> None:
        """Ctrl-C: no task waits any more, and no other thread would get the time to send the cancel."""
        if self._may_cancel():
            Canceller(partial(client_of, handle), self.log).cancel(handle.correlation_id, KILLED)

    def _may_cancel(self) -> bool:
        """Whether the end of this trigger cancels the request; once only, and not after the reply."""
        may = self.cancel_on_kill and not self._is_ended
        self._is_ended = True
        return may

    def _handle(self) -> RequestHandle:
        """The handle; topics that a task deferred by an older version does not name are the configured ones."""
        return with_configured_topics(RequestHandle.from_dict(self.handle))

    async def _reply(self, handle: RequestHandle) -> Reply:
        wait = await _loaded()
        try:
            record = await wait.wait_for_reply(handle, self.log)
        except TimeoutError as error:
            return Reply(kind="silence", error=str(error), heard=getattr(error, "heard", ""))
        except KafkaSettingsError as error:
            return Reply(kind="refused", error=str(error))
        except WaitError as error:
            return Reply(kind="broken", error=str(error))
        return reply_of(record, str(handle.correlation_id))


def _after(handle: RequestHandle) -> str:
    if handle.asked_at is None:
        return ""
    return f" after {in_seconds((datetime.now(UTC) - handle.asked_at).total_seconds())}"


def _held(seconds: float) -> str:
    """What the log says of an answer that waits, as Airflow would fail a task that is resumed so soon."""
    return f", held {in_seconds(seconds)} for Airflow's scheduler (apache/airflow#71580)" if seconds >= 0.5 else ""


async def _loaded() -> ModuleType:
    """The module that waits. It takes a moment to import, and other triggers want the event loop meanwhile."""
    global _wait
    if _wait is None:
        # Others may come meanwhile: they wait for the import too, since sys.modules already holds half of it.
        _wait = await asyncio.to_thread(importlib.import_module, _WAIT)
    return _wait
