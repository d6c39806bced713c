"""What Airflow asks of a worker: :class:`WorkflowEvent`.

The models accept the plain events that people write by hand (six fields) and ignore fields they do not know, so that
a newer peer can add some. What they know, they check.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pydantic_core
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)


def _naive_is_utc(value: Any) -> Any:
    # The events people write by hand carry `datetime.utcnow().isoformat()`, which has no zone.
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside of the years 1 to 9999 in UTC") from None


UtcDatetime = Annotated[AwareDatetime, BeforeValidator(_naive_is_utc), AfterValidator(_to_utc)]
"""An instant, always UTC. Input without a zone is taken as UTC."""

Name = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
"""An identifier chosen by a person or by Airflow: 1 to 512 characters, none of them NUL (no database keeps it)."""


def _without_nul(value: str) -> str:
    return value.replace("\0", "\ufffd")


Who = Annotated[str, Field(max_length=512), AfterValidator(_without_nul)]
"""A person or a program, in free text that is only shown. NUL, which no database keeps, becomes a visible mark."""

Reason = Annotated[str, Field(max_length=2048), AfterValidator(_without_nul)]
"""Why, in free text that is only shown; likewise."""

Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
"""A number of something, as every database can keep it."""


def utcnow() -> datetime:
    """The current instant, with its zone."""
    return datetime.now(UTC)


class WireModel(BaseModel):
    """Base of all wire models: unknown fields are ignored, instances are immutable."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class EventType(StrEnum):
    """What a message says. The first six travel on events, results and progress; the last three on control."""

    WORKFLOW_TRIGGERED = "workflow.triggered"
    WORKFLOW_RESUMED = "workflow.resumed"
    WORKFLOW_COMPLETED = "workflow.completed"
    WORKFLOW_FAILED = "workflow.failed"
    WORKFLOW_RESULT = "workflow.result"
    WORKFLOW_PROGRESS = "workflow.progress"
    WORKFLOW_CANCELLED = "workflow.cancelled"
    WORKFLOW_SUPERSEDED = "workflow.superseded"
    WORKFLOW_QUERY = "workflow.query"


class EventSource(StrEnum):
    """Which kind of system wrote the message."""

    AIRFLOW = "airflow"
    LANGGRAPH = "langgraph"
    FASTAPI = "fastapi"


class WorkflowEventPayload(WireModel):
    """The input of the graph, as JSON.

    :param data: the graph's input: for a graph whose state is a mapping, its initial values.
    """

    data: dict[str, JsonValue] = Field(default_factory=dict)


class WorkflowEventMetadata(WireModel):
    """Who speaks: free text, never interpreted by the worker."""

    environment: str = Field(default="dev", max_length=128)
    version: str = Field(default="1.0", max_length=128)


class Attempt(WireModel):
    """Which execution of which Airflow task asks; the worker decides from it what a request is to earlier ones.

    :param task: :func:`workflow_events.identity.task_key`, the same over all attempts of one task.
    :param deployment: which Airflow installation; part of ``task`` and of the name of a shared thread.
    :param agent: names one of several agents in one task; ``default`` for a single one.
    :param id: Airflow's ``ti.id``, a uuid7: new on every retry and clear, the same over deferrals.
    :param try_number: from 1; grows on retry and on clear, starts again in a re-created DAG run.
    :param max_tries: Airflow's ``ti.max_tries``: raised by a clear, untouched by a retry.
    :param run_start: ``dag_run.start_date``: untouched by a retry, new in a re-created or re-opened DAG run.
    :param returned: an earlier attempt of the task has already returned its result, so this one is a clear.
    :param replay: 0; n for the n-th replay of a dead letter.
    :param on_retry: what a retry does with unfinished work.
    :param on_clear: what a clear does with unfinished work.
    """

    task: Name
    deployment: str = Field(default="", max_length=512)
    agent: Name = "default"
    id: UUID
    try_number: Count
    max_tries: Count
    run_start: UtcDatetime | None = None
    returned: bool = False
    replay: Count = 0
    on_retry: Literal["resume", "restart"] = "resume"
    on_clear: Literal["restart", "resume"] = "restart"


MAX_CONFIGURABLE = 65_536
"""Bytes of JSON: LangGraph keeps its texts and numbers with every checkpoint of the run."""

_RESERVED_CONFIGURABLE = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map", "run_id"})


class RunConfig(WireModel):
    """Settings of one run. They may choose among what the worker allows and lower its caps, never raise them.

    :param tags: LangChain tags, for traces.
    :param recursion_limit: at most this many supersteps; the worker's own cap still holds.
    :param model: the chat model by name; must be on the worker's allow-list. The graph finds it as
        ``config["configurable"]["model"]``.
    :param configurable: further values for ``config["configurable"]``, up to :data:`MAX_CONFIGURABLE` bytes. Names that
        steer checkpoints are refused.
    """

    model_config = ConfigDict(extra="forbid")  # a misspelt setting must not silently do nothing

    tags: list[Name] = Field(default_factory=list, max_length=64)
    recursion_limit: int | None = Field(default=None, ge=1, le=2_147_483_647)
    model: Name | None = None
    configurable: dict[Name, JsonValue] = Field(default_factory=dict)

    @field_validator("configurable")
    @classmethod
    def _no_reserved_names(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        taken = sorted(name for name in value if name in _RESERVED_CONFIGURABLE or name.startswith("__"))
        if taken:
            raise ValueError(f"{', '.join(taken)}: reserved for the worker; use the event's own thread_id field")
        if "model" in value:
            raise ValueError("model: set config.model instead, which the worker checks against its allow-list")
        size = len(pydantic_core.to_json(value))
        if size > MAX_CONFIGURABLE:
            raise ValueError(
                f"{size:,} bytes, over the limit of {MAX_CONFIGURABLE:,}; large values belong to payload.data"
            )
        return value


class Budget(WireModel):
    """Upper bounds of one run. A worker that does not enforce them must refuse an event that carries any.

    :param tokens: input and output tokens, all models together.
    :param cost_usd: in US dollars.
    :param steps: supersteps.
    :param seconds: wall time while running.
    """

    tokens: int | None = Field(default=None, ge=1)
    cost_usd: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)


class Answer(WireModel):
    """A person's answer to one pending interrupt.

    :param interrupt_id: the id that the ``interrupted`` result named.
    :param value: what the graph's ``interrupt()`` call returns.
    :param answered_by: who answered, for the record.
    """

    interrupt_id: Name
    value: JsonValue = None
    answered_by: Who | None = None


REQUESTS = frozenset({EventType.WORKFLOW_TRIGGERED, EventType.WORKFLOW_RESUMED})
"""The event types that ask for a run; on the events topic every other type is refused."""


class WorkflowEvent(WireModel):
    """A request to run a graph.

    :param event_id: the correlation id of the reply. Absent in bytes: derived from the record's place in Kafka, so a
        plain event that is delivered twice is one request.
    :param timestamp: when it was asked; absent in bytes: the record's timestamp.
    :param workflow_id: the DAG.
    :param workflow_run_id: the DAG run.
    :param graph: a name in the worker's ``langgraph.json``; None is its only or default graph.
    :param thread_id: a conversation that the author shares between tasks; None is a thread of the run's own.
    :param attempt: None for a plain request, which is never superseded.
    :param deadline: past it the request does not start, and a run ends with status ``timeout``.
    :param reply_topic: must be on the worker's allow-list; None is the fleet's results topic.
    :param round: 0, then one more for each answer to an interrupt.
    :param answers: on ``workflow.resumed`` only, at least one.
    """

    event_id: UUID = Field(default_factory=uuid4)
    event_type: EventType
    timestamp: UtcDatetime = Field(default_factory=utcnow)
    source: EventSource
    workflow_id: Name
    workflow_run_id: Name
    payload: WorkflowEventPayload = Field(default_factory=WorkflowEventPayload)
    metadata: WorkflowEventMetadata = Field(default_factory=WorkflowEventMetadata)
    graph: Name | None = None
    thread_id: Name | None = None
    attempt: Attempt | None = None
    deadline: UtcDatetime | None = None
    reply_topic: Name | None = None
    config: RunConfig = Field(default_factory=RunConfig)
    budget: Budget | None = None
    round: Count = 0
    answers: list[Answer] = Field(default_factory=list, max_length=256)

    @model_validator(mode="after")
    def _answers_belong_to_a_resume(self) -> WorkflowEvent:
        resumed = self.event_type is EventType.WORKFLOW_RESUMED
        if self.answers and not resumed:
            raise ValueError(f"answers: only {EventType.WORKFLOW_RESUMED.value} carries answers")
        if resumed and (not self.answers or self.round < 1):
            raise ValueError(f"answers: {EventType.WORKFLOW_RESUMED.value} needs at least one, and a round above 0")
        return self
