"""The sensor: wait for the answer of an agent that another task has asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, BaseSensorOperator

from airflow_provider_langgraph.airflow_compat.versions import TaskDeferralTimeout
from airflow_provider_langgraph.exceptions import LangGraphError, RunError, SettingsError
from airflow_provider_langgraph.requests.arguments import truth
from airflow_provider_langgraph.requests.cancel import Canceller, NoCanceller
from airflow_provider_langgraph.requests.deadline import GRACE, as_timedelta
from airflow_provider_langgraph.requests.given_handle import check_handle, handle_in
from airflow_provider_langgraph.requests.link_urls import LinkFields
from airflow_provider_langgraph.requests.outcome import sensor_timeout
from airflow_provider_langgraph.requests.output_schema import OutputSchema
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.requests.slot_time import defer_after_seconds
from airflow_provider_langgraph.tasks.reply_task import OnInterrupt, ReplyTask
from airflow_provider_langgraph.waiting.handle_client import client_of

if TYPE_CHECKING:
    from uuid import UUID

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.requests.handle import RequestHandle

__all__ = ["LangGraphResultSensor"]

_SILENT_FAIL = (
    "silent_fail: this sensor is not poked, and an answer is final. While Kafka is away it waits on by itself. "
    "Leave silent_fail out; soft_fail=True skips the task where the agent gives no result"
)
_RESCHEDULE = (
    "mode='reschedule' and deferrable=False contradict each other: the one frees the worker slot, the other keeps it. "
    "Leave one of them out; the sensor defers by default, which frees its slot"
)

_ASKS_NOBODY = (
    "on_interrupt: a sensor cannot ask a person, since it waits for the request of another task, and answers nothing. "
    "Set on_interrupt='fail' or 'return' at the sensor, also where default_args say 'ask'. To ask, set "
    "on_interrupt='ask' at an operator that waits for its agent, or at a LangGraphResumeOperator behind the sensor"
)


class LangGraphResultSensor(ReplyTask, BaseSensorOperator):
    """Waits for the answer to a request that another task has published without waiting, and returns it.

    The other task is a
    :class:`~airflow_provider_langgraph.operators.langgraph.LangGraphTriggerOperator` with
    ``wait_for_completion=False``; its return value is the handle. The handle names the connection, the topics and the
    deadline, so the sensor needs nothing else. It did not start the agent, and so it does not end it, unless
    ``cancel_on_kill`` says so. Several sensors may wait for one handle; a retry finds the same answer again.

    Nothing is polled: ``poke_interval``, ``exponential_backoff`` and ``max_wait`` have no effect. ``mode="reschedule"``
    frees the slot, which the sensor does anyway.

    :param handle: (templated) the handle: the mapping, or its text. ``.expand(handle=...)`` waits for several.
    :param result_format: as for the operator.
    :param output_schema: as for the operator.
    :param on_interrupt: ``fail`` or ``return``, as for the operator.
    :param defer_after: (templated) as for the operator.
    :param deferrable: as for the operator: True by default, whatever ``[operators] default_deferrable`` says.
    :param cancel_on_kill: True: the agent is cancelled when the sensor is killed, cleared or marked, or gives up.
    :param timeout: how long this sensor waits at most, a timedelta or seconds; then it fails with
        ``AirflowSensorTimeout``, which Airflow does not retry, and the agent works on. None: to the request's deadline.
    :param soft_fail: True: the task is skipped where there is no result by the deadline or the timeout, and where the
        agent has failed, was cancelled or waits for a person. What is wrong with Kafka or the arguments fails it.
    :param never_fail: True: whatever ends the wait without a result skips the task.
    :returns: the graph's final state as JSON.
    :raises RunError: (a subclass) as from the operator.
    :raises KafkaError: the reply cannot be waited for; retried.
    :raises SettingsError: an argument is wrong, or ``handle`` is no handle; not retried.
    """

    template_fields: Sequence[str] = ("handle", "defer_after")
    template_fields_renderers = {"handle": "json"}  # noqa: RUF012 - as Airflow declares it
    ui_color = "#d6e9d2"

    def __init__(
        self,
        *,
        handle: Any,
        result_format: ResultFormat = "json",
        output_schema: Any = None,
        on_interrupt: OnInterrupt = "fail",
        defer_after: timedelta | float | str | None = None,
        deferrable: bool = True,
        cancel_on_kill: bool = False,
        timeout: timedelta | float | None = None,
        **kwargs: Any,
    ) -> None:
        self.wait_seconds = None if timeout is None else as_timedelta(timeout).total_seconds()
        if timeout is not None:  # Airflow 3.1 takes no None for its default
            kwargs["timeout"] = timeout
        super().__init__(**kwargs)
        if self.silent_fail:
            raise SettingsError(_SILENT_FAIL)
        if self.reschedule and not deferrable:
            raise SettingsError(_RESCHEDULE)
        if on_interrupt == "ask":
            raise SettingsError(_ASKS_NOBODY)
        check_handle(handle)
        self.handle = handle
        self._init_wait(
            defer_after=defer_after,
            deferrable=deferrable,
            result_format=result_format,
            output_schema=output_schema,
            on_interrupt=on_interrupt,
        )
        self.cancel_on_kill = truth("cancel_on_kill", cancel_on_kill)

    def _execute(self, context: Context) -> Any:
        """Wait in the slot, and defer if the agent is still at work."""
        handle = self._request()
        defer_after_seconds(self.defer_after)
        OutputSchema.of(self.output_schema)
        self._show_links(context)
        with self._skipped_if_wished():
            return self._wait(handle, context, self.wait_seconds)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow when the deferral is over."""
        with self._skipped_if_wished():
            return super().resume_execution(next_method, next_kwargs, context)

    @property
    def cancels_when_killed(self) -> bool:  # type: ignore[override]
        """Whether the trigger cancels the request if the task is killed while it is deferred."""
        return self.cancel_on_kill

    def _request(self) -> RequestHandle:
        return handle_in(self.handle)

    def _request_id(self, context: Context) -> UUID:
        return self._request().correlation_id

    def _link_fields(self, context: Context) -> LinkFields:
        return LinkFields.of_handle(context["ti"], self._request())

    def _events_topic(self) -> str:
        return self._request().events_topic

    @property
    def _canceller(self) -> Canceller:
        if not self.cancel_on_kill:
            return NoCanceller(self.log)
        return Canceller(partial(client_of, self._request()), self.log)

    def _ended(self, error: Exception, context: Context) -> Exception:
        if self.wait_seconds is not None and isinstance(error, TaskDeferralTimeout):
            handle = self._request()
            if datetime.now(UTC) < handle.deadline + GRACE:  # later the trigger itself would have ended the wait
                return sensor_timeout(handle, self.wait_seconds, self._canceller)
        return super()._ended(error, context)

    @contextmanager
    def _skipped_if_wished(self) -> Iterator[None]:
        """Skip the task instead of failing it, as ``soft_fail`` and ``never_fail`` say."""
        try:
            yield
        except (LangGraphError, AirflowSensorTimeout) as error:
            if self._kill.is_set:
                raise
            if self.never_fail or (self.soft_fail and isinstance(error, RunError | AirflowSensorTimeout)):
                raise AirflowSkipException(f"skipped as there is no result: {error}") from error
            raise
