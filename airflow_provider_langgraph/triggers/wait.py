"""One wait for one reply, wherever it runs: in a trigger, or in the task's own process."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_langgraph.deadline import GRACE, LEAST_WAIT
from airflow_provider_langgraph.exceptions import KafkaSettingsError, WaitError
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers.connections import connection_settings, fresh_settings, latest_settings
from airflow_provider_langgraph.triggers.listener import join_listener, leave_listener
from airflow_provider_langgraph.triggers.poll import ListenerLost
from airflow_provider_langgraph.triggers.progress import join_progress, leave_progress
from airflow_provider_langgraph.triggers.shared import key_of_settings
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
            await asyncio.sleep(min(pause * random.uniform(0.5, 1.5), _left(ends)))  # not all in one turn
            pause = min(pause * 2, LONGEST_PAUSE)
        except WaitError:
            if not await _has_changed(settings, handle.kafka_config_id):
                raise
            log.info("Airflow connection %r was corrected, waiting with its new settings", handle.kafka_config_id)


async def _wait_with(settings: dict[str, Any], handle: RequestHandle, ends: datetime, log: Any) -> Record:
    # Written out: each waiter pays for every object in here, and there may be ten thousand.
    listener = join_listener(settings, handle.results_topic)
    try:
        progress = join_progress(settings, handle.progress_topic, handle.asked_at or datetime.now(UTC))
    except BaseException:
        leave_listener(listener)
        raise
    key = str(handle.correlation_id).encode()
    bell = _Bell()
    reply = listener.wait(handle)
    news = progress.follow(key, bell.ring)
    try:
        reply.add_done_callback(bell.ring)
        teller = Teller(handle, log, progress, news)
        while not reply.done():
            left = _left(ends)
            if left <= 0:
                raise NoReplyError(listener.trouble or "")
            await bell.wait(min(left, LOOK_SECONDS, teller.pause()))
            if not reply.done():
                teller.look(listener.trouble)
                _require_unchanged(settings, handle.kafka_config_id, listener.trouble)
        return reply.result()
    finally:
        reply.cancel()
        progress.leave(key, news)
        leave_progress(progress)
        leave_listener(listener)


class _Bell:
    """Wakes one waiter."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def ring(self, _: Any = None) -> None:
        """Wake him, if he sleeps."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Sleep until it rings, and no longer than this."""
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = loop.call_later(seconds, self.ring)
        try:
            await self._future
        finally:
            timer.cancel()
            self._future = None


def _require_unchanged(settings: dict[str, Any], kafka_config_id: str, trouble: str | None) -> None:
    """Credentials that were renewed have to be used: the old ones may never work again."""
    if trouble is not None:
        now = latest_settings(kafka_config_id)
        if now is not None and key_of_settings(now) != key_of_settings(settings):
            raise _ConnectionChanged


async def _has_changed(settings: dict[str, Any], kafka_config_id: str) -> bool:
    """Whether somebody has corrected the connection while its old settings were still tried."""
    try:
        now = await fresh_settings(kafka_config_id, at_most_old=1.0)
    except Exception:  # noqa: BLE001 - what cannot be read cannot be said to have changed
        return False
    return key_of_settings(now) != key_of_settings(settings)


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
