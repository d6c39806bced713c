"""The settings of Kafka connections, looked up once for all waiters that ask at the same time."""

from __future__ import annotations

import asyncio
import contextvars
import time
from dataclasses import dataclass
from typing import Any

from airflow_provider_langgraph.airflow_compat.triggerer import allow_synchronous_calls
from airflow_provider_langgraph.kafka.sharing import Settings

FRESH_SECONDS = 30.0
"""Settings that are older are looked up again."""

ANSWER_SECONDS = 10.0
"""How long a new client waits for fresh settings before it takes older ones."""


@dataclass(slots=True)
class _Lookup:
    task: asyncio.Task[dict[str, Any]]
    began: float


_Key = tuple[asyncio.AbstractEventLoop, str]

_lookups: dict[_Key, _Lookup] = {}
_known: dict[_Key, dict[str, Any]] = {}


async def connection_settings(kafka_config_id: str) -> dict[str, Any]:
    """The librdkafka settings of an Airflow connection, at most half a minute old.

    :raises KafkaSettingsError: a setting is missing, or would break the protocol.
    :raises Exception: the connection cannot be read; any exception of Airflow or of a secrets backend.
    """
    return await asyncio.shield(_lookup(kafka_config_id))


def latest_settings(kafka_config_id: str) -> dict[str, Any] | None:
    """The last known settings, without waiting; None before the first look-up. Old ones start another look-up."""
    _lookup(kafka_config_id)
    return _known.get((asyncio.get_running_loop(), kafka_config_id))


async def fresh_settings(kafka_config_id: str, max_age_seconds: float | None = None) -> dict[str, Any]:
    """The settings for a new client, which needs credentials of today; older ones if there are none in time.

    :param max_age_seconds: :data:`FRESH_SECONDS` if None.
    :raises TimeoutError: no settings are known; says why.
    """
    task = _lookup(kafka_config_id, max_age_seconds)
    await asyncio.wait({task}, timeout=ANSWER_SECONDS)
    if task.done() and not _failed(task):
        return task.result()
    known = _known.get((asyncio.get_running_loop(), kafka_config_id))
    if known is None:
        why = task.exception() if task.done() and not task.cancelled() else "no answer yet"
        raise TimeoutError(f"Airflow connection {kafka_config_id!r} cannot be read: {why}")
    return known


async def finish_lookups() -> None:
    """Wait for the look-ups of this event loop that are under way, before the loop ends and cancels them."""
    loop = asyncio.get_running_loop()
    tasks = {lookup.task for key, lookup in _lookups.items() if key[0] is loop}
    if tasks:
        await asyncio.wait(tasks)


def _lookup(kafka_config_id: str, max_age_seconds: float | None = None) -> asyncio.Task[dict[str, Any]]:
    """The look-up that is under way or fresh.

    Airflow answers its triggerer one question at a time, and a question that is cancelled before its answer costs the
    next one its own (before 3.2.2). So the look-up is a task of its own, which does not end with any waiter.
    """
    loop = asyncio.get_running_loop()
    key = (loop, kafka_config_id)
    lookup = _lookups.get(key)
    oldest = FRESH_SECONDS if max_age_seconds is None else max_age_seconds
    is_old = lookup is None or (lookup.task.done() and time.monotonic() - lookup.began > oldest)
    if lookup is None or is_old or _failed(lookup.task):
        # A context of its own: its log lines are no waiter's.
        task = loop.create_task(_resolve(key), context=contextvars.Context())
        task.add_done_callback(_failed)  # looked at: the waiter that asked may have left
        lookup = _lookups[key] = _Lookup(task, time.monotonic())
    return lookup.task


def _failed(task: asyncio.Task[dict[str, Any]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _resolve(key: _Key) -> dict[str, Any]:
    from airflow_provider_langgraph.hooks.kafka import KafkaHook

    await allow_synchronous_calls()
    settings = Settings(await KafkaHook(key[1]).asettings())
    _known[key] = settings
    return settings
