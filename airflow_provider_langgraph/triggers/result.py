"""The trigger that a deferred task leaves behind: thin, all work is the shared listener's."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_langgraph.deadline import LONGEST_SETTLE
from airflow_provider_langgraph.exceptions import KafkaSettingsError, WaitError
from airflow_provider_langgraph.fleet import configured_topic
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers import cancel
from workflow_events import headers
from workflow_events.codec import Record

if TYPE_CHECKING:
    from types import ModuleType

# confluent-kafka comes in with the listener, which is imported only where a trigger runs: the operator's module, and
# with it every DAG file, imports this one.

_WAIT = "airflow_provider_langgraph.triggers.wait"
_wait: ModuleType | None = None

MOST_BYTES = 4 * 1024 * 1024
"""The largest reply that a trigger passes on: Airflow packs it on the event loop that all triggers share, and stores it
in its database. Workers send none above 1,000,000 bytes unless they are told to."""


class Reply(dict[str, Any]):
    """The event's payload. Airflow logs every event; the repr of this one shows no result, which may be secret.

    ``kind`` is one of

    - ``result``: ``result`` is the text of the reply as it came, undecoded, which names ``topic``, ``partition`` and
      ``offset``; ``correlation_id`` and ``bytes`` are what the log shows besides;
    - ``silence``: no reply came by the deadline and its grace; ``error`` may say why none could be read;
    - ``broken``: the reply cannot be waited for or cannot be read, ``error`` says why; a retry can help;
    - ``refused``: the connection's settings are wrong, ``error`` says how; a retry cannot help.
    """

    def __repr__(self) -> str:
        return f"<{' '.join(f'{name}={value}' for name, value in self.items() if name != 'result')}>"


class WorkflowResultTrigger(BaseTrigger):
    """Waits for the reply to one request and fires one event with it, whose payload is a :class:`Reply`.

    :param handle: :meth:`RequestHandle.to_dict <airflow_provider_langgraph.handle.RequestHandle.to_dict>`.
    :param not_before: the instant, as ISO 8601, before which no event is fired: see
        :func:`airflow_provider_langgraph.deadline.settled`. Empty: at once.
    """

    def __init__(self, handle: dict[str, Any], not_before: str = "") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.handle = handle
        self.not_before = not_before
        self._is_ended = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments that build this trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "handle": self.handle,
            "not_before": self.not_before,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        handle = self._handle()
        cancel.note_runner(self.task_instance)
        self.log.info(
            "Waiting for the reply to request %s on %s until %s (thread %s)",
            handle.correlation_id,
            handle.results_topic,
            handle.deadline.isoformat(timespec="seconds"),
            handle.thread_id or "of its own",
        )
        try:
            reply = await self._reply(handle)
            self._is_ended = reply["kind"] == "result"  # whoever ends the trigger from here on ends no agent
            if self.not_before:
                early = datetime.fromisoformat(self.not_before) - datetime.now(UTC)
                await asyncio.sleep(min(early, LONGEST_SETTLE).total_seconds())
        except asyncio.CancelledError:
            if cancel.is_cancelled_from_outside():
                await self.on_kill()
            raise
        yield TriggerEvent(reply)

    async def on_kill(self) -> None:
        """Called when the task was killed, cleared or marked while it waited, or so it seems; returns at once.

        By :meth:`run` itself, which hears of it in every version; and by Airflow, from 3.3 on, which may leave it out
        where many triggers end at once. By mistake, too, when another triggerer has taken over: that cancels nothing.
        """
        if not self._is_ended:
            self._is_ended = True
            cancel.cancel_unless_deferred(self._handle(), self.task_instance)

    def _handle(self) -> RequestHandle:
        """The handle; what a task deferred by an older version does not name is the configured one."""
        handle = RequestHandle.from_dict(self.handle)
        return replace(
            handle,
            control_topic=configured_topic("control", handle.control_topic),
            progress_topic=configured_topic("progress", handle.progress_topic),
        )

    async def _reply(self, handle: RequestHandle) -> Reply:
        wait = await _loaded()
        try:
            record = await wait.wait_for_reply(handle, self.log)
        except TimeoutError as error:
            return Reply(kind="silence", error=str(error))
        except KafkaSettingsError as error:
            return Reply(kind="refused", error=str(error))
        except WaitError as error:
            return Reply(kind="broken", error=str(error))
        return reply_of(record, str(handle.correlation_id))


async def _loaded() -> ModuleType:
    """The module that waits. It takes a moment to import, and other triggers want the event loop meanwhile."""
    global _wait
    if _wait is None:
        # Others may come meanwhile: they wait for the import too, since sys.modules already holds half of it.
        _wait = await asyncio.to_thread(importlib.import_module, _WAIT)
    return _wait


def reply_of(record: Record, correlation_id: str) -> Reply:
    """The payload that carries a record to its task. Nothing is parsed here: that is its task's affair."""
    value = record.value or b""
    if len(value) > MOST_BYTES:
        why = f"it has {len(value)} bytes, and a trigger passes on {MOST_BYTES} at most: return a reference instead"
        return Reply(kind="broken", error=f"the reply at {record.where} cannot be passed on: {why}")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        return Reply(kind="broken", error=f"the reply at {record.where} cannot be read: it is not UTF-8: {error}")
    if "\0" in text:  # no JSON, and databases refuse it: the whole triggerer would fail with it
        return Reply(kind="broken", error=f"the reply at {record.where} cannot be read: it holds a zero byte")
    return Reply(
        kind="result",
        correlation_id=correlation_id,
        bytes=len(value),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        schema=headers.value_of(record.headers, headers.SCHEMA_VERSION) or "",
        result=text,
    )


def record_in(event: dict[str, Any]) -> Record:
    """The record that :func:`reply_of` packed, in the task's process; or the result alone, of an older version."""
    found: list[tuple[str, bytes | str | None]] = [(headers.CORRELATION_ID, event["correlation_id"].encode())]
    if event.get("schema"):
        found.append((headers.SCHEMA_VERSION, event["schema"].encode()))
    return Record(
        event.get("topic", "?"),
        event.get("partition", -1),
        event.get("offset", -1),
        event["result"].encode(),
        found,
    )
