"""The reply of a worker: :class:`WorkflowResultEvent`."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import Field, JsonValue

from workflow_events.models import Count, Name, UtcDatetime, WireModel


class ResultStatus(StrEnum):
    """How a request ended. Each is terminal for its correlation id."""

    SUCCESS = "success"
    FAILURE = "failure"
    """The graph ran and failed for good."""
    ERROR = "error"
    """The event could not be run: unknown graph, bad input, a dead letter."""
    INTERRUPTED = "interrupted"
    """The graph waits for a person; the answer is a new request."""
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


class Interrupt(WireModel):
    """One pending question of a graph.

    :param id: an :class:`~workflow_events.models.Answer` names the question by it.
    :param value: what the graph passed to ``interrupt()``.
    """

    id: str
    value: JsonValue = None


class ModelUsage(WireModel):
    """What was spent with one model.

    :param input_tokens: those that the provider read from or wrote to its cache included.
    :param requests: calls of the model that were answered; 0 also if an earlier version counted.
    :param tool_calls: what the model asked tools to do.
    :param cost_usd: in US dollars, by the provider's list prices; None if the price of one of its calls is not known.
    """

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    total_tokens: int = Field(default=0, ge=0)
    requests: int = Field(default=0, ge=0)
    tool_calls: int = Field(default=0, ge=0)
    cache_read_tokens: int = Field(default=0, ge=0)
    cache_write_tokens: int = Field(default=0, ge=0)
    cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class WorkflowResultEvent(WireModel):
    """The only terminal reply to a request.

    :param correlation_id: the request's ``event_id``.
    :param result: the graph's final state as JSON; None unless status is ``success`` or ``interrupted``.
    :param error: one or a few lines for a person; None on success.
    :param traceback: where the graph raised: the frames of its own code, of the exception and of its causes, one line
        each, without control characters; None if nothing was raised, or an earlier version answers.
    :param thread_id: LangGraph's, a UUID; that of a thread which an earlier version began is another text.
    :param thread_name: the author's name of the thread (``thread_id`` in the request), if it has one.
    :param error_type: a stable word for programs: an exception's name, or one of the worker's own
        (``unknown_graph``, ``superseded``, ``result_too_large``, ...).
    :param retriable: whether it can help to run the request again; None if the worker does not know.
    :param retry_after_seconds: how long to wait before it is run again: what a server has asked for, or the worker's
        next wait if it repeated it once more; None: nothing is known.
    :param usage: by model name, what the logical run has spent so far: over its retries, takeovers and the rounds of
        its answers, and those that a crash ended.
    :param release: the release of the project that ran it last (``LANGGRAPH_WORKER_RELEASE``, or a hash of its files).
    :param attempts: how often the run was started, takeovers included.
    """

    correlation_id: UUID
    workflow_id: Name
    workflow_run_id: Name
    result: JsonValue = None
    status: ResultStatus
    error: str | None = None
    traceback: str | None = None
    thread_id: str | None = None
    thread_name: str | None = None
    error_type: str | None = None
    retriable: bool | None = None
    retry_after_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    interrupts: list[Interrupt] = Field(default_factory=list)
    usage: dict[str, ModelUsage] = Field(default_factory=dict)
    attempts: Count = 0
    started_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None
    worker_id: str | None = None
    release: str | None = None
