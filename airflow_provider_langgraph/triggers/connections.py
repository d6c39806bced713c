"""The settings of Kafka connections, looked up once for all who ask at the same time."""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from airflow_provider_langgraph.triggers.shared import Settings

FRESH_SECONDS = 30.0
ANSWER_SECONDS = 10.0


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
    :raises Exception: whatever the keeper of the connections raises.
    """
    return await asyncio.shield(_lookup(kafka_config_id))


def latest_settings(kafka_config_id: str) -> dict[str, Any] | None:
    """What is known of a connection without waiting; None before the first look-up. An old answer has it asked anew."""
    _lookup(kafka_config_id)
    return _known.get((asyncio.get_running_loop(), kafka_config_id))


async def fresh_settings(kafka_config_id: str, at_most_old: float | None = None) -> dict[str, Any]:
    """For a client that begins anew and so needs credentials of today; old ones if there are none in time.

    :param at_most_old: seconds; half a minute if None.
    :raises TimeoutError: there never were any; says why.
    """
    task = _lookup(kafka_config_id, at_most_old)
    await asyncio.wait({task}, timeout=ANSWER_SECONDS)
    if task.done() and not _failed(task):
        return task.result()
    known = _known.get((asyncio.get_running_loop(), kafka_config_id))
    if known is None:
        why = task.exception() if task.done() and not task.cancelled() else "no answer yet"
        raise TimeoutError(f"Airflow connection {kafka_config_id!r} cannot be read: {why}")
    return known


def _lookup(kafka_config_id: str, at_most_old: float | None = None) -> asyncio.Task[dict[str, Any]]:
    """The look-up that is under way or fresh.

    Airflow answers its triggerer one question at a time, and a question that is given up midway costs the next one its
    answer (before 3.2.2). So the look-up is a task of its own, which no waiter's end ends.
    """
    loop = asyncio.get_running_loop()
    key = (loop, kafka_config_id)
    lookup = _lookups.get(key)
    oldest = FRESH_SECONDS if at_most_old is None else at_most_old
    is_old = lookup is None or (lookup.task.done() and time.monotonic() - lookup.began > oldest)
    if lookup is None or is_old or _failed(lookup.task):
        # A context of its own: its log lines are no waiter's.
        task = loop.create_task(_resolve(key), context=contextvars.Context())
        task.add_done_callback(_failed)  # looked at: who asked may have gone
        lookup = _lookups[key] = _Lookup(task, time.monotonic())
    return lookup.task


def _failed(task: asyncio.Task[dict[str, Any]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _resolve(key: _Key) -> dict[str, Any]:
    from airflow_provider_langgraph.hooks.kafka import KafkaHook

    await _let_synchronous_code_ask()
    settings = Settings(await KafkaHook(key[1]).asettings())
    _known[key] = settings
    return settings


async def _let_synchronous_code_ask() -> None:
    """As Airflow does it for each trigger's own task: Google's provider asks for its connection synchronously."""
    if os.environ.get("AIRFLOW_DISABLE_GREENBACK_PORTAL", "").lower() == "true":
        return
    with suppress(ImportError):
        import greenback

        await greenback.ensure_portal()
