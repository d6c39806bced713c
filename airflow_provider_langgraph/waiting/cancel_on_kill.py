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
from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.requests.cancel import KILLED
from airflow_provider_langgraph.requests.handle import RequestHandle
from workflow_events.control import WorkflowCancelledEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

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

_GOES_ON = frozenset({"scheduled", "queued", "running"})

# The event loop does not keep its tasks alive, so they are kept here.
_under_way: set[asyncio.Task[Any]] = set()


def note_runner(task_instance: Any) -> None:
    """Called by each trigger as it starts; the first one of a triggerer finds the task that runs them all."""
    if triggerer.find_runner() and task_instance is not None:
        _start(_state_of(task_instance))  # so that the first kill does not have to wait for the slow first answer


def cancel_unless_deferred(handle: RequestHandle, task_instance: Any, may_be_resumed: bool = False) -> None:
    """End the agent's run if its task is no longer deferred; if it still is, another triggerer waits for it now.

    :param may_be_resumed: also spare the run of a task that goes on. If it was cleared, its new try ends the old run.

    Returns at once: a trigger has about a second for its ``on_kill``. Nothing is sent while the triggerer stops.
    """
    cancel_all_unless_deferred([[handle]], task_instance, may_be_resumed)


def cancel_all_unless_deferred(
    chains: Sequence[Sequence[RequestHandle]], task_instance: Any, may_be_resumed: bool = False
) -> None:
    """:func:`cancel_unless_deferred` for the requests of a task with several agents, which share a connection.

    :param chains: the requests that may be at work, none of them empty. Of each chain, a request is asked only once
        the one before it has been answered: what follows one that has no answer is neither looked for nor cancelled.
    """
    if chains and (triggerer.is_running() or task_instance is None):
        _start(_cancel(chains, task_instance, may_be_resumed))


def send_cancel(handle: RequestHandle, settings: dict[str, Any], reason: str) -> None:
    """Hand the cancel of a request to the thread that sends it."""
    from airflow_provider_langgraph.kafka.control_sender import control_sender

    message = WorkflowCancelledEvent(correlation_id=handle.correlation_id, reason=reason)
    control_sender(settings).send(handle.control_topic, message, f"the cancel of request {handle.correlation_id}")


async def _cancel(chains: Sequence[Sequence[RequestHandle]], task_instance: Any, may_be_resumed: bool) -> None:
    from airflow_provider_langgraph.waiting.connection_cache import fresh_settings

    request = ", ".join(dict.fromkeys(str(chain[0].correlation_id) for chain in chains))
    kafka_config_id = chains[0][0].kafka_config_id
    try:
        state = await _state_of(task_instance)
    except TimeoutError:
        log.error("Not cancelled: Airflow does not say whether the task was killed (request %s)", request)
        return
    if state == "deferred":
        log.info("Not cancelled: the task is still deferred, another triggerer waits for it (request %s)", request)
        return
    if may_be_resumed and state in _GOES_ON:
        log.info("Not cancelled: the task goes on (state %s, request %s)", state, request)
        return
    try:
        settings = await _ask_until_answered(partial(fresh_settings, kafka_config_id), f"cancel request {request}")
    except TimeoutError:
        log.error("Not cancelled: connection %r cannot be read (request %s)", kafka_config_id, request)
        return
    found = await asyncio.gather(*(_unanswered(chain, settings) for chain in chains))
    for handle in {handle.correlation_id: handle for some in found for handle in some}.values():
        log.info("Cancelling the agent: %s (state %s, request %s)", KILLED, state, handle.correlation_id)
        send_cancel(handle, settings, KILLED)


async def _unanswered(chain: Sequence[RequestHandle], settings: dict[str, Any]) -> list[RequestHandle]:
    """The requests of a chain that may be at work: the first without an answer; where that is not known, all behind it.

    A task that is no longer deferred was killed, or another triggerer has brought it its answer before this one.
    """
    for number, handle in enumerate(chain):
        is_answered = await _is_answered(handle, settings)
        if is_answered is None:
            return list(chain[number:])
        if not is_answered:
            return [handle]
        log.info("Not cancelled: answered before (request %s)", handle.correlation_id)
    return []


async def _is_answered(handle: RequestHandle, settings: dict[str, Any]) -> bool | None:
    """Whether the request's reply is on its topic; None if that cannot be found out."""
    from airflow_provider_langgraph.waiting.shared_consumer import shared_consumer

    async with shared_consumer(settings, handle.results_topic) as consumer:
        try:
            return await asyncio.wait_for(consumer.is_answered(handle), LOOK_SECONDS)
        except (TimeoutError, WaitError):
            return None


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
