"""When a trigger is ended, decide whether its task was killed, and then cancel the request.

Airflow ends a trigger when its task was killed, cleared or marked, when the deferral timed out, when another triggerer
has taken over, and when the triggerer stops; only in the first case the agent has to end too.
:mod:`airflow_provider_langgraph.airflow_compat.triggerer` distinguishes them.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_langgraph.airflow_compat import triggerer
from airflow_provider_langgraph.requests.cancel import KILLED
from airflow_provider_langgraph.requests.handle import RequestHandle
from workflow_events.control import WorkflowCancelledEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)

_T = TypeVar("_T")

GUARD_SECONDS = 600.0
"""How long to wait for the answer to "is the task still deferred?". The first question of a triggerer takes 5 to 7 s.
When many tasks are killed at once, their questions queue: Airflow answers one after the other."""

LOOK_SECONDS = 3.0
"""How long at most the reply of a request is looked for before it is cancelled. Where Kafka can be read, that takes a
tenth of a second or so."""

RETRY_SECONDS = 1.0
"""The pause before a question that failed is asked again."""

# The event loop does not keep its tasks alive, so they are kept here.
_under_way: set[asyncio.Task[Any]] = set()


def note_runner(task_instance: Any) -> None:
    """Called by each trigger as it starts; the first one of a triggerer finds the task that runs them all."""
    if triggerer.find_runner() and task_instance is not None:
        _start(_state_of(task_instance))  # so that the first kill does not have to wait for the slow first answer


def cancel_unless_deferred(handle: RequestHandle, task_instance: Any) -> None:
    """End the agent's run if its task is no longer deferred; if it still is, another triggerer waits for it now.

    Returns at once: a trigger has about a second for its ``on_kill``. Nothing is sent while the triggerer stops.
    """
    if triggerer.is_running() or task_instance is None:
        _start(_cancel(handle, task_instance))


def send_cancel(handle: RequestHandle, settings: dict[str, Any], reason: str) -> None:
    """Hand the cancel of a request to the thread that sends it."""
    from airflow_provider_langgraph.kafka.control_sender import control_sender

    message = WorkflowCancelledEvent(correlation_id=handle.correlation_id, reason=reason)
    control_sender(settings).send(handle.control_topic, message, f"the cancel of request {handle.correlation_id}")


async def _cancel(handle: RequestHandle, task_instance: Any) -> None:
    from airflow_provider_langgraph.waiting.connection_cache import fresh_settings

    request = handle.correlation_id
    try:
        state = await _state_of(task_instance)
    except TimeoutError:
        log.error("Not cancelled: Airflow does not say whether the task was killed (request %s)", request)
        return
    if state == "deferred":
        log.info("Not cancelled: the task is still deferred, another triggerer waits for it (request %s)", request)
        return
    try:
        settings = await _ask_until_answered(
            partial(fresh_settings, handle.kafka_config_id), f"cancel request {request}"
        )
    except TimeoutError:
        log.error("Not cancelled: connection %r cannot be read (request %s)", handle.kafka_config_id, request)
        return
    # A task that is no longer deferred was killed, or another triggerer has brought it its answer before this one.
    if await _is_answered(handle, settings):
        log.info("Not cancelled: answered before (request %s)", request)
        return
    log.info("Cancelling the agent: %s (state %s, request %s)", KILLED, state, request)
    send_cancel(handle, settings, KILLED)


async def _is_answered(handle: RequestHandle, settings: dict[str, Any]) -> bool:
    """Whether the request's reply is on its topic; False too if that cannot be found out."""
    from airflow_provider_langgraph.waiting.shared_consumer import shared_consumer

    async with shared_consumer(settings, handle.results_topic) as consumer:
        try:
            return await asyncio.wait_for(consumer.is_answered(handle), LOOK_SECONDS)
        except TimeoutError:
            return False


async def _state_of(task_instance: Any) -> str | None:
    """The task's state; None when it is gone, or when Airflow cannot be asked.

    :raises TimeoutError: no answer.
    """
    if task_instance is None:
        return None
    return await _ask_until_answered(
        partial(triggerer.ask_state, task_instance), f"ask for the state of {task_instance.task_id}"
    )


async def _ask_until_answered(ask: Callable[[], Coroutine[Any, Any, _T]], what: str) -> _T:
    """Ask until there is an answer.

    :raises TimeoutError: there was none.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + GUARD_SECONDS
    while (left := ends - loop.time()) > 0:
        # Never given up midway: before Airflow 3.2.2 that would cost the next question its answer.
        question = _start(ask())
        await asyncio.wait({question}, timeout=left)
        if not question.done():
            break
        try:
            answer: _T = question.result()
            return answer
        except Exception as error:  # noqa: BLE001 - the answer counts, so ask again after any error
            log.warning("Cannot %s yet: %s", what, error)
        await asyncio.sleep(RETRY_SECONDS)
    raise TimeoutError


def _start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.get_running_loop().create_task(work)
    _under_way.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled() and task.exception() is not None:
        level = logging.ERROR if triggerer.name_of(task) == _cancel.__qualname__ else logging.DEBUG
        log.log(level, "Asking for a task's state, or cancelling its request, failed: %s", task.exception())
