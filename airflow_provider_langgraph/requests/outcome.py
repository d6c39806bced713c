"""How a request ends for its task: with the agent's result, or with an exception that says why there is none.

Where no reply can come to the task any more, its request is cancelled first: no agent works for nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_langgraph.airflow_compat.versions import TaskDeferralTimeout
from airflow_provider_langgraph.exceptions import (
    KafkaSettingsError,
    LangGraphError,
    RunTimedOut,
    WaitError,
    error_for,
)
from airflow_provider_langgraph.requests.arguments import in_author_words
from airflow_provider_langgraph.requests.cancel import CANNOT_WAIT, NO_REPLY, NO_WAITER, Canceller
from airflow_provider_langgraph.requests.deadline import GRACE
from airflow_provider_langgraph.requests.output_schema import OutputSchema
from airflow_provider_langgraph.requests.reply import record_in
from airflow_provider_langgraph.requests.result_value import ResultFormat, value_of
from airflow_provider_langgraph.requests.task_identity import note_returned
from airflow_provider_langgraph.requests.usage import in_words
from workflow_events.codec import Record, decode_result
from workflow_events.errors import DecodeError
from workflow_events.log_words import in_seconds, in_utc, short_id
from workflow_events.plain_text import indented, one_line
from workflow_events.results import ResultStatus, WorkflowResultEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.requests.handle import RequestHandle

_TAKEN = (
    "A worker had taken it, and reported last: {heard}. Since then none has answered: see whether a worker runs, and "
    "what "
    "its log says of the request"
)
_NOT_HEARD = (
    "No worker has reported that it took the request. Is a langgraph-worker running for this events topic? Its log, "
    "or the "
    "dead-letter topic, says more"
)


def decode_reply(record: Record) -> WorkflowResultEvent:
    """The result that a reply holds.

    :raises WaitError: it cannot be read; says where it lies and why.
    """
    try:
        return decode_result(record)
    except DecodeError as error:
        raise WaitError(f"the reply cannot be read: {error}") from error


def return_value(
    result: WorkflowResultEvent,
    result_format: ResultFormat,
    context: Context,
    log: Any,
    schema: OutputSchema | None = None,
    names: Mapping[str, str] | None = None,
) -> Any:
    """What the task returns. That it has returned is kept, so that the next try counts as a clear, not as a retry.

    :param schema: what the result must be; None: it may be anything.
    :param names: what the author calls an argument, where it is not the argument's own name; for errors.
    :raises RunError: (a subclass) the agent did not succeed, or its result cannot be returned.
    """
    _require_success(result, _reason(result, names or {}), log)
    if schema is not None:
        result = result.model_copy(update={"result": schema.validated(result)})
    value = value_of(result, result_format)
    note_returned(context)
    log.info("The agent succeeded%s", _how(result))
    return value


def agent_value(result: WorkflowResultEvent, result_format: ResultFormat, log: Any, names: Mapping[str, str]) -> Any:
    """:func:`return_value` for one agent of several: that the task has returned is not kept.

    :param log: the agent's.
    :param names: as for :func:`return_value`.
    """
    _require_success(result, _reason(result, names), log)
    value = value_of(result, result_format)
    log.info("The agent succeeded%s", _how(result))
    return value


def _require_success(result: WorkflowResultEvent, reason: str | None, log: Any) -> None:
    """:raises RunError: (a subclass) the agent did not succeed; what it used, and where it raised, is in the log."""
    if result.status is ResultStatus.SUCCESS:
        return
    if result.usage:
        log.info("The agent has used %s", in_words(result).removeprefix(", "))
    if result.traceback:
        _show_traceback(result.error_type, result.traceback, log)
    raise error_for(result, reason)


def _reason(result: WorkflowResultEvent, names: Mapping[str, str]) -> str | None:
    """Why there is no result. A worker that cannot run a request names a field of the message, not the argument."""
    is_refused = result.status is ResultStatus.ERROR and result.error is not None
    return in_author_words(result.error or "", names) if is_refused else result.error


def _show_traceback(error_type: str | None, traceback: str, log: Any) -> None:
    log.error(
        "The agent's graph raised %s. %s",
        one_line(str(error_type)),
        indented(textwrap.indent(traceback, "    ").lstrip()),
    )


def _how(result: WorkflowResultEvent) -> str:
    """How long a run took, how often it was started, and what it used, in words."""
    took = ""
    if result.started_at is not None and result.finished_at is not None:
        took = f" in {in_seconds((result.finished_at - result.started_at).total_seconds())}"
    starts = f", start {result.attempts}" if result.attempts > 1 else ""
    thread = f", thread {one_line(result.thread_name)}" if result.thread_name else ""
    worker = f", worker {one_line(result.worker_id)}" if result.worker_id else ""
    return f"{took}{starts}{in_words(result)} (request {short_id(result.correlation_id)}{thread}{worker})"


def result_in(event: dict[str, Any], request: UUID, canceller: Canceller) -> WorkflowResultEvent:
    """The result in the event that a trigger fired, a :class:`~airflow_provider_langgraph.requests.reply.Reply`.

    :raises RunTimedOut: no reply came.
    :raises WaitError: the reply cannot be waited for, or cannot be read.
    :raises KafkaSettingsError: the connection cannot be used.
    """
    match event["kind"]:
        case "result":
            return decode_reply(record_in(event))
        case "silence":
            raise no_reply(request, event.get("error", ""), canceller, event.get("heard", ""))
        case "refused":
            canceller.cancel(request, CANNOT_WAIT)
            raise KafkaSettingsError(event["error"])
        case _:
            canceller.cancel(request, CANNOT_WAIT)
            raise WaitError(event["error"])


def no_reply(request: UUID, why: str, canceller: Canceller, heard: str = "") -> RunTimedOut:
    """Cancel a request that got no reply by its deadline, and say so.

    :param why: why none could be read; empty if they could.
    :param heard: what a worker reported last; empty if none did, or an older version waited.
    """
    canceller.cancel(request, NO_REPLY)
    cause = f" Its results could not be read: {why}." if why else ""
    return RunTimedOut(
        f"no reply to request {request} came by its deadline and {GRACE.total_seconds():.0f} s more.{cause} "
        f"{_TAKEN.format(heard=one_line(heard)) if heard else _NOT_HEARD}"
    )


def sensor_timeout(handle: RequestHandle, seconds: float, canceller: Canceller) -> AirflowSensorTimeout:
    """Say that a sensor has waited for as long as its author lets it, before the request's deadline.

    :param canceller: cancels the request, or leaves it to others.
    """
    canceller.cancel(handle.correlation_id, NO_WAITER)
    return AirflowSensorTimeout(
        f"the sensor's timeout of {in_seconds(seconds)} has passed. Request {handle.correlation_id} has no "
        f"reply yet; its deadline is {in_utc(handle.deadline)}"
    )


def ended_deferral(error: Exception, request: UUID, canceller: Canceller) -> LangGraphError:
    """Cancel a request whose deferral Airflow has ended without an event of its trigger, and say why.

    :param error: Airflow's ``TaskDeferralTimeout`` or ``TaskDeferralError``.
    """
    canceller.cancel(request, NO_WAITER)
    if isinstance(error, TaskDeferralTimeout):
        return RunTimedOut(
            f"no triggerer has looked for the reply to request {request} by its deadline: is a triggerer running?"
        )
    return WaitError(f"the trigger that waited for the reply failed: {error}; its log says more")
