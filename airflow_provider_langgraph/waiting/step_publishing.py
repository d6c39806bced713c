"""Publishing a request from a trigger, whose event loop must not wait for a broker."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_langgraph.exceptions import KafkaError, KafkaSettingsError, MessageRefusedError
from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.publish import publish_further
from airflow_provider_langgraph.requests.topics import fleet_of
from airflow_provider_langgraph.waiting.reply_wait import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    end_of_wait,
    settings_until,
)
from workflow_events.backoff import Backoff
from workflow_events.models import WorkflowEvent

_T = TypeVar("_T")

MOST_AT_ONCE = 8
"""How many requests a triggerer publishes at the same time: each has a thread and a Kafka client of its own."""

_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def publish_step(
    event: WorkflowEvent, fleet: RequestHandle, log: Any, traceparent: str | None = None
) -> RequestHandle:
    """Publish a request, until it is durable: while Kafka is away, it is tried again.

    Cancelling it does not stop what is under way: the request may be published all the same. Publishing it again is
    safe.

    :param fleet: a handle of the same task: its connection, topics and deadline are the request's too.
    :param log: the logger of the agent.
    :param traceparent: the trace of the task, for the message's header; None: it has none.
    :raises SettingsError: the request is too large.
    :raises MessageRefusedError: the broker takes none of its size.
    :raises KafkaSettingsError: the connection cannot be used.
    :raises KafkaError: it is not published by the end of the wait for its reply.
    """
    ends = end_of_wait(fleet)
    pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    while True:
        settings = await settings_until(ends, fleet.kafka_config_id, log)
        try:
            return await in_thread(partial(publish_further, _SettledHook(settings, fleet), event, log, traceparent))
        except (KafkaSettingsError, MessageRefusedError):
            raise
        except KafkaError as error:
            pause = pauses.next_seconds()
            if (ends - datetime.now(UTC)).total_seconds() <= pause:
                raise
            log.warning("Not asked yet, trying again in %.0f s: %s", pause, error)
        await asyncio.sleep(pause)


async def in_thread(call: Callable[[], _T]) -> _T:
    """What a call returns that may take long, from a daemon thread of its own: not from one of those that all of the
    triggerer's code shares, and none that its end waits for.
    """
    loop = asyncio.get_running_loop()
    room = _rooms.setdefault(loop, asyncio.Semaphore(MOST_AT_ONCE))
    async with room:
        done: asyncio.Future[_T] = loop.create_future()
        # The context leads log lines to the waiting task's log.
        work = partial(contextvars.copy_context().run, _work, call, loop, done)
        threading.Thread(target=work, name="langgraph-publish", daemon=True).start()
        return await done


def _work(call: Callable[[], _T], loop: asyncio.AbstractEventLoop, done: asyncio.Future[_T]) -> None:
    try:
        settle: Callable[[], None] = partial(_settle, done, done.set_result, call())
    except Exception as error:  # noqa: BLE001 - it is the caller's
        settle = partial(_settle, done, done.set_exception, error)
    with suppress(RuntimeError):  # the loop is closed: nothing waits any more
        loop.call_soon_threadsafe(settle)


def _settle(done: asyncio.Future[Any], settle: Callable[[Any], None], outcome: Any) -> None:
    if not done.done():
        settle(outcome)


class _SettledHook(KafkaHook):
    """A hook for another thread, which must not ask Airflow for a connection."""

    def __init__(self, settings: dict[str, Any], fleet: RequestHandle) -> None:
        super().__init__(fleet.kafka_config_id, fleet=fleet_of(fleet))
        self._settings = settings

    def settings(self) -> dict[str, Any]:
        return self._settings
