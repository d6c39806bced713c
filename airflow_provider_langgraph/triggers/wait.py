"""One wait for one reply, wherever it runs: in a trigger, or in the task's own process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_langgraph.deadline import GRACE, LEAST_WAIT
from airflow_provider_langgraph.exceptions import KafkaSettingsError, WaitError
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers.connections import connection_settings, latest_settings
from airflow_provider_langgraph.triggers.control_sender import key_of_settings
from airflow_provider_langgraph.triggers.listener import ResultListener, shared_listener
from airflow_provider_langgraph.triggers.poll import ListenerLost
from airflow_provider_langgraph.triggers.progress import News, following
from airflow_provider_langgraph.triggers.telling import Teller
from workflow_events.codec import Record

LOOK_SECONDS = 30.0
"""How often a waiter looks whether the listener has trouble to tell of."""

LONGEST_PAUSE = 30.0


class NoReplyError(TimeoutError):
    """No reply came by the deadline and its grace. The text says why none could be read, if that is known."""


class _ConnectionChanged(Exception):
    pass


async def wait_for_reply(handle: RequestHandle, log: Any) -> Record:
    """The record that holds the reply to a request, undecoded.

    :param log: the waiter's own logger: lines of a shared listener would not reach the task's log.
    :raises NoReplyError: none came by the deadline and its grace.
    :raises WaitError: the results cannot be read.
    :raises KafkaSettingsError: the connection cannot be used.
    """
    # A trigger may start after the deadline, when the reply has long been there.
    ends = max(handle.deadline + GRACE, datetime.now(UTC) + LEAST_WAIT)
    pause = 1.0
    while True:
        settings = await _settings(handle.kafka_config_id, ends, log)
        try:
            return await _wait_with(settings, handle, ends, log)
        except _ConnectionChanged:
            log.info("Airflow connection %r has changed, waiting with its new settings", handle.kafka_config_id)
        except ListenerLost as error:
            if _left(ends) <= 0:
                raise NoReplyError(str(error)) from error
            log.warning("Waiting on: %s; trying again in %.0f s", error, pause)
            await asyncio.sleep(min(pause, _left(ends)))
            pause = min(pause * 2, LONGEST_PAUSE)


async def _wait_with(settings: dict[str, Any], handle: RequestHandle, ends: datetime, log: Any) -> Record:
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(shared_listener(settings, handle.results_topic))
        reply = listener.wait(handle)
        stack.callback(reply.cancel)
        key = str(handle.correlation_id).encode()
        since = handle.asked_at or datetime.now(UTC)
        progress, news = await stack.enter_async_context(following(settings, handle.progress_topic, key, since))
        await _watch(
            listener, reply, news, Teller(handle, log, progress, news), ends, handle, key_of_settings(settings)
        )
        return reply.result()


async def _watch(
    listener: ResultListener,
    reply: asyncio.Future[Record],
    news: News,
    teller: Teller,
    ends: datetime,
    handle: RequestHandle,
    connected_by: str,
) -> None:
    while not reply.done():
        left = _left(ends)
        if left <= 0:
            raise NoReplyError(listener.trouble or "")
        pause = min(left, LOOK_SECONDS, teller.pause())
        # News that may not be written yet would wake it again and again.
        wake: set[asyncio.Future[Any]] = {reply} if news.messages else {reply, news.come()}
        await asyncio.wait(wake, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        if reply.done():
            return
        teller.look(listener.trouble)
        if listener.trouble is not None:
            # Credentials that were renewed have to be used: the old ones may never work again.
            settings = latest_settings(handle.kafka_config_id)
            if settings is not None and key_of_settings(settings) != connected_by:
                raise _ConnectionChanged


async def _settings(kafka_config_id: str, ends: datetime, log: Any) -> dict[str, Any]:
    """The connection's settings; whoever keeps connections may be away for a while, a healthy wait survives that."""
    pause = 1.0
    while True:
        try:
            return await connection_settings(kafka_config_id)
        except KafkaSettingsError:
            raise
        except Exception as error:
            if (datetime.now(UTC) + timedelta(seconds=pause)) >= ends:
                raise WaitError(f"Airflow connection {kafka_config_id!r} cannot be read: {error}") from error
            log.warning("Airflow connection %r cannot be read, trying again: %s", kafka_config_id, error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _left(ends: datetime) -> float:
    return (ends - datetime.now(UTC)).total_seconds()
