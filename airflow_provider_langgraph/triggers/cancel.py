"""A trigger was told to end: did somebody kill its task? Then its agent has to end as well.

Airflow tells a trigger to end when its task was killed, cleared or marked, when the deferral timed out, when another
triggerer has taken over, and when the triggerer stops; only in the first case the agent must not live on. What tells
them apart was read from the sources of Airflow 3.1.0 to 3.3.2, and seen with 3.1.0, 3.1.8, 3.2.2 and 3.3.2.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_langgraph.fleet import configured_topic
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.task_state import state_in
from workflow_events.control import WorkflowCancelledEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)

_T = TypeVar("_T")

GUARD_SECONDS = 600.0
"""How long the answer to "is the task still deferred?" is waited for. The first question that a triggerer asks in its
life takes 5 to 7 s, and a crowd that is killed at once waits in line: Airflow answers one after the other."""

STANDSTILL_SECONDS = 10.0
SUSPICIOUS_SECONDS = 60.0
LOOK_SECONDS = 3.0
"""A triggerer that stood still so long may have been replaced; for a while after it, whoever is said to be killed may
have been answered by another one, and so long his reply is looked for. Airflow replaces one after 30 s."""

PROMPT_SECONDS = 1.0
"""An answer of Airflow that takes longer is not taken for the state at the time of the kill."""

KILLED = "the task was killed, cleared or marked in Airflow"

# Whoever starts a task has to keep it: the event loop does not.
_under_way: set[asyncio.Task[Any]] = set()
_runners: dict[asyncio.AbstractEventLoop, asyncio.Task[Any] | None] = {}
_woke_at: dict[asyncio.AbstractEventLoop, float] = {}


def note_runner(task_instance: Any) -> None:
    """Called by each trigger as it starts; the first one of a triggerer finds what tells its shutdown from a kill."""
    loop = asyncio.get_running_loop()
    if loop in _runners:
        return
    for closed in [other for other in _runners if other.is_closed()]:
        del _runners[closed]
    runners = [task for task in asyncio.all_tasks() if _name(task) == "TriggerRunner.arun"]
    _runners[loop] = runners[0] if runners else None
    if runners and task_instance is not None:
        _start(_watch_for_standstills(loop))
        _start(_state_of(task_instance))  # so that the first kill does not have to wait for the slow first answer


def is_cancelled_from_outside() -> bool:
    """In ``except CancelledError``: whether the runner, which goes on, ended this trigger."""
    task = asyncio.current_task()
    # What a trigger awaits may be cancelled as well, when the triggerer stops; then nobody has cancelled the trigger.
    return task is not None and task.cancelling() > 0 and _is_running()


def cancel_unless_deferred(handle: RequestHandle, task_instance: Any) -> None:
    """End the agent's run if its task is no longer deferred; if it still is, another triggerer waits for it now.

    Returns at once: a trigger has about a second for its ``on_kill``. Nothing is sent while the triggerer stops.
    """
    if _is_running() or task_instance is None:
        _start(_cancel(handle, task_instance))


def send_cancel(handle: RequestHandle, settings: dict[str, Any], reason: str) -> None:
    """Hand the cancel of a request to the thread that sends it."""
    from airflow_provider_langgraph.triggers.control_sender import control_sender

    message = WorkflowCancelledEvent(correlation_id=handle.correlation_id, reason=reason)
    topic = configured_topic("control", handle.control_topic)
    control_sender(settings).send(topic, message, f"the cancel of request {handle.correlation_id}")


async def _cancel(handle: RequestHandle, task_instance: Any) -> None:
    from airflow_provider_langgraph.triggers.connections import fresh_settings

    request = handle.correlation_id
    began = asyncio.get_running_loop().time()
    try:
        state = await _state_of(task_instance)
    except TimeoutError:
        log.error("Request %s is not cancelled: Airflow does not say whether its task was killed", request)
        return
    if state == "deferred":
        log.info("Request %s lives on: its task is still deferred, so another triggerer waits for it", request)
        return
    try:
        settings = await _patiently(partial(fresh_settings, handle.kafka_config_id), f"cancel request {request}")
    except TimeoutError:
        log.error("Request %s is not cancelled: connection %r cannot be read", request, handle.kafka_config_id)
        return
    # Whom another triggerer has taken over may have gone on by the time that Airflow answers.
    is_late = asyncio.get_running_loop().time() - began > PROMPT_SECONDS
    if (is_late or _has_stood_still(began)) and await _is_answered(handle, settings):
        log.info("Request %s is not cancelled: it was answered meanwhile", request)
        return
    log.info("Cancelling request %s: %s (state %s)", request, KILLED, state)
    send_cancel(handle, settings, KILLED)


async def _watch_for_standstills(loop: asyncio.AbstractEventLoop) -> None:
    """Note when this process goes on after it stood still: others may have done its work meanwhile."""
    while True:
        before = loop.time()
        await asyncio.sleep(1)
        if loop.time() - before > STANDSTILL_SECONDS:
            _woke_at[loop] = loop.time()


def _has_stood_still(began: float) -> bool:
    """Whether this process woke up shortly before that moment of the loop's clock, or after it."""
    woke_at = _woke_at.get(asyncio.get_running_loop())
    return woke_at is not None and began - woke_at < SUSPICIOUS_SECONDS


async def _is_answered(handle: RequestHandle, settings: dict[str, Any]) -> bool:
    """Whether the request's reply is on its topic; looked for as a waiter would."""
    from airflow_provider_langgraph.triggers.listener import shared_listener

    async with shared_listener(settings, handle.results_topic) as listener:
        reply = listener.wait(handle)
        await asyncio.wait({reply}, timeout=LOOK_SECONDS)
        return not reply.cancel() and reply.exception() is None


async def _state_of(task_instance: Any) -> str | None:
    """The task's state; None when it is gone, or when nobody can be asked.

    :raises TimeoutError: no answer.
    """
    if task_instance is None:
        return None
    return await _patiently(partial(_ask, task_instance), f"ask for the state of {task_instance.task_id}")


async def _patiently(ask: Callable[[], Coroutine[Any, Any, _T]], what: str) -> _T:
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
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer counts, so ask again
            log.warning("Cannot %s yet: %s", what, error)
        await asyncio.sleep(1)
    raise TimeoutError


async def _ask(task_instance: Any) -> str | None:
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    ti = task_instance
    question = GetTaskStates(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index)
    answer = await task_runner.SUPERVISOR_COMMS.asend(question)
    states = getattr(answer, "task_states", None)
    if states is None:
        raise RuntimeError(f"Airflow answers {type(answer).__name__}")
    return state_in(states, ti)


def _is_running() -> bool:
    runner = _runners.get(asyncio.get_running_loop())
    return runner is not None and not runner.done()


def _name(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", ""))


def _start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.get_running_loop().create_task(work)
    _under_way.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled() and task.exception() is not None:
        level = logging.ERROR if _name(task) == _cancel.__qualname__ else logging.DEBUG
        log.log(level, "A question about a task, or its cancel, failed: %s", task.exception())
