"""One wait for one reply, wherever it runs: in a trigger, or in the task's own process."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_langgraph.exceptions import KafkaSettingsError, WaitError
from airflow_provider_langgraph.kafka.sharing import key_of_settings
from airflow_provider_langgraph.requests.deadline import latest_reply
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.task_log.progress_listener import join_progress, leave_progress
from airflow_provider_langgraph.task_log.wait_log import WaitLog
from airflow_provider_langgraph.waiting.connection_cache import connection_settings, fresh_settings, latest_settings
from airflow_provider_langgraph.waiting.consumer_thread import ConsumerLost
from airflow_provider_langgraph.waiting.shared_consumer import join_consumer, leave_consumer, shared_consumer
from workflow_events.backoff import Backoff
from workflow_events.codec import Record
from workflow_events.plain_text import one_line

LOOK_SECONDS = 30.0
"""How often a waiter checks at least whether the shared consumer has trouble that belongs in its log."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class NoReplyError(TimeoutError):
    """No reply came by the deadline and its grace. The text says why none could be read, if that is known.

    :ivar heard: what a worker reported last of the request; empty if none did.
    """

    def __init__(self, why: str, heard: str = "") -> None:
        super().__init__(why)
        self.heard = heard


class _ConnectionChanged(Exception):
    pass


def end_of_wait(handle: RequestHandle) -> datetime:
    """Until when a reply is waited for, if that begins now."""
    return latest_reply(handle.deadline, datetime.now(UTC))


async def wait_for_reply(handle: RequestHandle, log: Any) -> Record:
    """The record that holds the reply to a request, undecoded.

    :param log: the waiter's own logger: lines of the shared consumer would not reach the task's log.
    :raises NoReplyError: none came by the deadline and its grace.
    :raises WaitError: the results cannot be read.
    :raises KafkaSettingsError: the connection cannot be used.
    """
    ends = end_of_wait(handle)
    pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    while True:
        settings = await settings_until(ends, handle.kafka_config_id, log)
        try:
            return await _wait_with(settings, handle, ends, log)
        except _ConnectionChanged:
            log.info("Airflow connection %r has changed, waiting with its new settings", handle.kafka_config_id)
        except ConsumerLost as error:
            if _left(ends) <= 0:
                raise NoReplyError(str(error)) from error
            pause = pauses.next_seconds()
            log.warning("Waiting on: %s; trying again in %.0f s", error, pause)
            await asyncio.sleep(min(pause * random.uniform(0.5, 1.5), _left(ends)))  # waiters must not all come at once
        except WaitError:
            if not await _has_changed(settings, handle.kafka_config_id):
                raise
            log.info("Airflow connection %r was corrected, waiting with its new settings", handle.kafka_config_id)


async def reply_within(handle: RequestHandle, seconds: float, log: Any) -> Record | None:
    """The record that holds the reply to a request, undecoded, if it comes within so many seconds.

    None says nothing of the request: another wait with the same handle goes on, and finds what came meanwhile. So
    whatever is wrong with Kafka or the connection ends only this wait; the next one takes its time over it.
    """
    try:
        async with asyncio.timeout(seconds):
            return await look_for_reply(handle, log)
    except TimeoutError:
        return None
    except Exception as error:  # noqa: BLE001 - any exception of Airflow or of a secrets backend
        log.info("The reply cannot be waited for in the slot: %s", one_line(str(error)))
        return None


async def look_for_reply(handle: RequestHandle, _log: Any) -> Record:
    """The record that holds the reply to a request, undecoded: without lines in a log, and without a deadline.

    :raises Exception: the reply cannot be waited for; any exception of Airflow or of a secrets backend.
    """
    settings = await connection_settings(handle.kafka_config_id)
    async with shared_consumer(settings, handle.results_topic) as consumer:
        return await consumer.wait(handle)


async def is_answered_by_now(handle: RequestHandle, most_seconds: float) -> bool | None:
    """Whether the reply to a request is on its topic; None if that cannot be found out in so many seconds."""
    try:
        async with asyncio.timeout(most_seconds):
            settings = await connection_settings(handle.kafka_config_id)
            async with shared_consumer(settings, handle.results_topic) as consumer:
                return await consumer.is_answered(handle)
    except Exception:  # noqa: BLE001 - any exception of Airflow or of a secrets backend
        return None


async def _wait_with(settings: dict[str, Any], handle: RequestHandle, ends: datetime, log: Any) -> Record:
    # No context managers: each waiter pays for every object in here, and there may be ten thousand.
    consumer = join_consumer(settings, handle.results_topic)
    try:
        progress = join_progress(settings, handle.progress_topic, handle.asked_at or datetime.now(UTC))
    except BaseException:
        leave_consumer(consumer)
        raise
    key = str(handle.correlation_id).encode()
    sleeper = _Sleeper()
    reply = consumer.wait(handle)
    inbox = progress.follow(key, sleeper.wake)
    try:
        reply.add_done_callback(sleeper.wake)
        wait_log = WaitLog(handle, log, progress, inbox)
        while not reply.done():
            left = _left(ends)
            if left <= 0:
                raise NoReplyError(consumer.trouble or "", wait_log.last_heard)
            await sleeper.sleep(min(left, LOOK_SECONDS, wait_log.pause()))
            if not reply.done():
                wait_log.write_due(consumer.trouble)
                _require_unchanged(settings, handle.kafka_config_id, consumer.trouble)
        return reply.result()
    finally:
        reply.cancel()
        progress.leave(key, inbox)
        leave_progress(progress)
        leave_consumer(consumer)


class _Sleeper:
    """The sleep of one waiter, which can be ended early."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def wake(self, _: Any = None) -> None:
        """Wake the waiter."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Sleep until :meth:`wake` is called, and no longer than this."""
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = loop.call_later(seconds, self.wake)
        try:
            await self._future
        finally:
            timer.cancel()
            self._future = None


def _require_unchanged(settings: dict[str, Any], kafka_config_id: str, trouble: str | None) -> None:
    """Check in times of trouble that the connection has not changed: the old credentials may never work again.

    :raises _ConnectionChanged: it has.
    """
    if trouble is not None:
        now = latest_settings(kafka_config_id)
        if now is not None and key_of_settings(now) != key_of_settings(settings):
            raise _ConnectionChanged


async def _has_changed(settings: dict[str, Any], kafka_config_id: str) -> bool:
    """Whether the connection was corrected while its old settings were still tried."""
    try:
        now = await fresh_settings(kafka_config_id, max_age_seconds=1.0)
    except Exception:  # noqa: BLE001 - a connection that cannot be read has not changed
        return False
    return key_of_settings(now) != key_of_settings(settings)


async def settings_until(ends: datetime, kafka_config_id: str, log: Any) -> dict[str, Any]:
    """The connection's settings. Airflow may be unable to read connections for a while; a healthy wait survives that.

    :raises KafkaSettingsError: the connection cannot be used.
    :raises WaitError: the connection could not be read until the end of the wait.
    """
    pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    while True:
        try:
            return await connection_settings(kafka_config_id)
        except KafkaSettingsError:
            raise
        except Exception as error:
            pause = pauses.next_seconds()
            if (datetime.now(UTC) + timedelta(seconds=pause)) >= ends:
                raise WaitError(f"Airflow connection {kafka_config_id!r} cannot be read: {error}") from error
            log.warning("Airflow connection %r cannot be read, trying again: %s", kafka_config_id, error)
        await asyncio.sleep(pause)


def _left(ends: datetime) -> float:
    return (ends - datetime.now(UTC)).total_seconds()
