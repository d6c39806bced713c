"""The trigger that a deferred task leaves behind: thin, all work is the shared listener's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_langgraph.deadline import GRACE, LEAST_WAIT, LONGEST_SETTLE
from airflow_provider_langgraph.exceptions import KafkaSettingsError, WaitError
from airflow_provider_langgraph.handle import RequestHandle
from workflow_events.errors import DecodeError
from workflow_events.results import WorkflowResultEvent

# confluent-kafka comes in with the listener, which is imported only where a trigger runs: the operator's module, and
# with it every DAG file, imports this one.

LOOK_SECONDS = 30.0
"""How often a waiting trigger looks whether the listener has trouble to tell of."""


class Reply(dict[str, str]):
    """The event's payload. Airflow logs every event; the repr of this one shows no result, which may be secret.

    ``kind`` is one of

    - ``result``: ``result`` is the :class:`~workflow_events.WorkflowResultEvent` as a JSON text, because Airflow would
      read keys such as ``__type`` of a mapping as its own; ``correlation_id`` and ``status`` are what the log shows;
    - ``silence``: no reply came by the deadline and its grace;
    - ``broken``: the reply cannot be waited for or cannot be read, ``error`` says why; a retry can help;
    - ``refused``: the connection's settings are wrong, ``error`` says how; a retry cannot help.
    """

    def __repr__(self) -> str:
        return f"<{' '.join(f'{name}={value}' for name, value in self.items() if name != 'result')}>"


class WorkflowResultTrigger(BaseTrigger):
    """Waits for the reply to one request and fires one event with it, whose payload is a :class:`Reply`.

    :param handle: :meth:`RequestHandle.to_dict <airflow_provider_langgraph.handle.RequestHandle.to_dict>`.
    :param not_before: the instant, as ISO 8601, before which no event is fired: see
        :func:`airflow_provider_langgraph.deadline.settled`.
    """

    def __init__(self, handle: dict[str, Any], not_before: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.handle = handle
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments that build this trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "handle": self.handle,
            "not_before": self.not_before,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        handle = RequestHandle.from_dict(self.handle)
        self.log.info(
            "Waiting for the reply to request %s on %s until %s",
            handle.correlation_id,
            handle.results_topic,
            handle.deadline.isoformat(timespec="seconds"),
        )
        reply = await self._reply(handle)
        early = datetime.fromisoformat(self.not_before) - datetime.now(UTC)
        await asyncio.sleep(min(early, LONGEST_SETTLE).total_seconds())
        yield TriggerEvent(reply)

    async def _reply(self, handle: RequestHandle) -> Reply:
        try:
            result = await wait_for_result(handle, self.log)
        except TimeoutError:
            return Reply(kind="silence")
        except KafkaSettingsError as error:
            return Reply(kind="refused", error=str(error))
        except WaitError as error:
            return Reply(kind="broken", error=str(error))
        return Reply(
            kind="result",
            correlation_id=str(result.correlation_id),
            status=result.status.value,
            result=result.model_dump_json(),
        )


async def wait_for_result(handle: RequestHandle, log: Any) -> WorkflowResultEvent:
    """The reply to a request.

    :param log: the waiter's own logger: lines of a shared listener would not reach the task's log.
    :raises TimeoutError: none came by the deadline and its grace.
    :raises WaitError: the results cannot be read, or the reply cannot.
    :raises KafkaSettingsError: the connection cannot be used.
    """
    from airflow_provider_langgraph.triggers.listener import shared_listener
    from workflow_events.codec import decode_result

    # A trigger may start after the deadline, when the reply has long been there.
    ends = max(handle.deadline + GRACE, datetime.now(UTC) + LEAST_WAIT)
    settings = await _settings(handle.kafka_config_id, ends, log)
    async with shared_listener(settings, handle.results_topic) as listener:
        reply = listener.wait(handle)
        told: str | None = None
        try:
            while not reply.done():
                left = (ends - datetime.now(UTC)).total_seconds()
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait({reply}, timeout=min(left, LOOK_SECONDS))
                if listener.trouble != told and not reply.done():
                    told = listener.trouble
                    log.warning("Waiting on: %s", told or f"{handle.results_topic} can be read again")
            record = reply.result()
        finally:
            reply.cancel()
    try:
        return decode_result(record)
    except DecodeError as error:
        raise WaitError(f"the reply to request {handle.correlation_id} cannot be read: {error}") from error


async def _settings(kafka_config_id: str, ends: datetime, log: Any) -> dict[str, Any]:
    """The connection's settings; whoever keeps connections may be away for a while, a healthy wait survives that."""
    from airflow_provider_langgraph.hooks.kafka import KafkaHook

    pause = 1.0
    while True:
        try:
            return await KafkaHook(kafka_config_id).asettings()
        except KafkaSettingsError:
            raise
        except Exception as error:
            if (datetime.now(UTC) + timedelta(seconds=pause)) >= ends:
                raise WaitError(f"Airflow connection {kafka_config_id!r} cannot be read: {error}") from error
            log.warning("Airflow connection %r cannot be read, trying again: %s", kafka_config_id, error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LOOK_SECONDS)
