"""The trigger that a deferred task with several agents leaves behind: one for all of them."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.requests.agent_work import AgentWork
from airflow_provider_langgraph.requests.cancel import KILLED, Canceller
from airflow_provider_langgraph.requests.deadline import latest_reply
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.reply import Reply
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger
from airflow_provider_langgraph.waiting import cancel_on_kill
from airflow_provider_langgraph.waiting.handle_client import client_of
from workflow_events.log_words import in_utc, short_id

if TYPE_CHECKING:
    from types import ModuleType

    from airflow_provider_langgraph.waiting.agents_run import AgentsRun

__all__ = ["MultiAgentTrigger"]

NOT_NEEDED = "the task is over without it"

_RUN = "airflow_provider_langgraph.waiting.agents_run"


class MultiAgentTrigger(WorkflowResultTrigger):
    """Waits for the agents of one task, asks those that come later, and fires one event with all replies, whose payload
    is an :class:`~airflow_provider_langgraph.requests.agent_replies.AgentReplies`.

    It keeps nothing: one that starts again, in whatever triggerer, asks for the same steps by the same ids, and finds
    what they have answered. What is of no use any more when the task is over is cancelled.

    :param work: :meth:`AgentWork.to_json <airflow_provider_langgraph.requests.agent_work.AgentWork.to_json>`; at least
        one request is published.
    :param not_before: as for :class:`~airflow_provider_langgraph.triggers.result.WorkflowResultTrigger`.
    """

    def __init__(self, work: str, not_before: str = "") -> None:
        self.work = work
        self._work = AgentWork.from_json(work)
        super().__init__(self._work.first.to_dict(), not_before)
        self._run: AgentsRun | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments that build this trigger again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"work": self.work, "not_before": self.not_before}

    async def on_kill(self) -> None:
        """Cancel what is under way if the task was killed, cleared or marked while it waited. Returns at once."""
        if self._may_cancel():
            cancel_on_kill.cancel_all_unless_deferred(self._under_way(), self.task_instance)

    def _cancel_before_the_process_ends(self, handle: RequestHandle) -> None:
        if self._may_cancel():
            canceller = Canceller(partial(client_of, handle), self.log)
            # No trigger before this one can have asked more: all is in this process.
            asked = self._work.handles.values() if self._run is None else self._run.left_over()
            canceller.cancel_all([one.correlation_id for one in asked], KILLED)

    def _under_way(self) -> list[list[RequestHandle]]:
        return self._work.chains() if self._run is None else self._run.under_way()

    def _log_start(self, handle: RequestHandle) -> None:
        work = self._work
        self.log.info(
            "Waiting for the agents %s (%s), until %s at the latest (requests %s on %s)",
            ", ".join(work.plan.names),
            work.plan.mode,
            in_utc(latest_reply(handle.deadline, datetime.now(UTC))),
            ", ".join(short_id(one.correlation_id) for one in work.handles.values()),
            handle.results_topic,
        )

    async def _reply(self, handle: RequestHandle) -> Reply:
        module: ModuleType = await asyncio.to_thread(importlib.import_module, _RUN)
        self._run = module.AgentsRun(self._work, self.log)
        replies: Reply = await self._run.run()
        await self._cancel_the_rest(self._run.left_over())
        return replies

    async def _cancel_the_rest(self, rest: Sequence[RequestHandle]) -> None:
        if not rest:
            return
        from airflow_provider_langgraph.waiting.connection_cache import fresh_settings

        requests = ", ".join(short_id(one.correlation_id) for one in rest)
        try:
            settings = await fresh_settings(rest[0].kafka_config_id)
        except Exception as error:  # noqa: BLE001 - the task has what it needs
            self.log.warning("The agents of requests %s go on, as they cannot be cancelled: %s", requests, error)
            return
        for one in rest:
            cancel_on_kill.send_cancel(one, settings, NOT_NEEDED)
        self.log.info("Cancelling the rest: %s (requests %s)", NOT_NEEDED, requests)
