"""The request that Airflow sends to a worker: :class:`WorkflowEvent`.

The models accept the plain events that people write by hand (six fields). They check the fields that they know and
ignore the others, so that a newer peer can add some.
"""

from __future__ import annotations

import re
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
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
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


EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def _to_utc(value: datetime) -> datetime:
    # What lies near the ends of the calendar has no form in another time zone, and no sum with a duration.
    if not EARLIEST <= value <= LATEST:
        raise ValueError(
            f"an instant must lie between {EARLIEST:%Y-%m-%d} and {LATEST:%Y-%m-%d} in UTC. Correct it, or leave it out"
        )
    return value.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, BeforeValidator(_naive_is_utc), AfterValidator(_to_utc)]
"""An instant from :data:`EARLIEST` to :data:`LATEST`, always in UTC. Input without a time zone counts as UTC."""

Name = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
"""An identifier chosen by a person or by Airflow: 1 to 512 characters, none of them NUL, which no database stores."""


def _without_nul(value: str) -> str:
    return value.replace("\0", "\ufffd")


Who = Annotated[str, Field(max_length=512), AfterValidator(_without_nul)]
"""A person or a program, as free text that is only shown. NUL, which no database stores, becomes a visible mark."""

Reason = Annotated[str, Field(max_length=2048), AfterValidator(_without_nul)]
"""A reason, as free text that is only shown. NUL becomes a visible mark here, too."""

Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
"""A count that every database can store."""


def _is_uuid7(value: UUID) -> UUID:
    if value.version != 7:
        raise ValueError("is no uuid7. Take Airflow's ti.id; a request that is of no Airflow task has no attempt")
    return value


def utcnow() -> datetime:
    """The current instant, in UTC."""
    return datetime.now(UTC)


class WireModel(BaseModel):
    """Base of all wire models: unknown fields are ignored, instances are immutable."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class EventType(StrEnum):
    """What a message is. The first six are on the events, results and progress topics, the last three on control."""

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
    """The kind of system that wrote the message."""

    AIRFLOW = "airflow"
    LANGGRAPH = "langgraph"
    FASTAPI = "fastapi"


class WorkflowEventPayload(WireModel):
    """The input of the graph, as JSON.

    :param data: for a graph whose state is a mapping: its initial values.
    """

    data: dict[str, JsonValue] = Field(default_factory=dict)


class WorkflowEventMetadata(WireModel):
    """Free text about the sender. The worker does not interpret it."""

    environment: str = Field(default="dev", max_length=128)
    version: str = Field(default="1.0", max_length=128)


class Attempt(WireModel):
    """The execution of an Airflow task that sends the request. The worker classifies the request by it: first,
    duplicate, retry, clear or late.

    :param task: :func:`workflow_events.identity.task_key`: the same over all attempts of one task.
    :param deployment: the Airflow installation; part of ``task`` and of the name of a shared thread.
    :param agent: the name of one of several agents in one task; ``default`` for a single one.
    :param id: Airflow's ``ti.id``, a uuid7: new on every retry and clear, the same over deferrals. Another id is
        refused, and by workers one whose time lies in the future: it would be newer than every attempt to come.
    :param try_number: from 1; grows on retry and on clear, starts again in a re-created DAG run.
    :param max_tries: Airflow's ``ti.max_tries``: a clear raises it, a retry does not change it.
    :param run_start: ``dag_run.start_date``: a retry does not change it; new in a re-created or re-opened DAG run.
    :param returned: an earlier attempt of the task has already returned its result, so this one is a clear.
    :param replay: n for the n-th replay of a dead letter, else 0.
    :param on_retry: what a retry does with unfinished work.
    :param on_clear: what a clear does with unfinished work.
    """

    task: Name
    deployment: str = Field(default="", max_length=512)
    agent: Name = "default"
    id: Annotated[UUID, AfterValidator(_is_uuid7)]
    try_number: Count
    max_tries: Count
    run_start: UtcDatetime | None = None
    returned: bool = False
    replay: Count = 0
    on_retry: Literal["resume", "restart"] = "resume"
    on_clear: Literal["restart", "resume"] = "restart"


MAX_CONFIGURABLE_BYTES = 65_536
"""As JSON. LangGraph stores its texts and numbers with every checkpoint of the run."""

_RESERVED_CONFIGURABLE = re.compile(
    r"__|langgraph_|(thread_id|thread_ts|checkpoint_id|checkpoint_ns|checkpoint_map|run_id|assistant_id|graph_id"
    r"|counters_since_delta_snapshot)$"
)
_RESERVED_TAGS = re.compile(r"langsmith:|langgraph:|(graph|seq):step|nostream$")
"""LangGraph's own: one tag hides a node from its breakpoints and streams, one name says who is logged in. Names and
values are copied into the metadata of checkpoints: a counter that is none ends every later run of the thread."""


class RunConfig(WireModel):
    """Settings of one run. They choose among what the worker allows, and may lower its limits, never raise them.

    :param tags: LangChain tags, for traces. Those that LangGraph obeys are refused.
    :param recursion_limit: at most so many supersteps; the worker's own limit still holds.
    :param model: the chat model by name; must be on the worker's allow-list. The graph finds it as
        ``config["configurable"]["model"]``.
    :param keep_checkpoints: at most so many checkpoints stay for looking back when the run ends; the limits of the
        worker and of the graph still hold.
    :param configurable: further values for ``config["configurable"]``, up to :data:`MAX_CONFIGURABLE_BYTES`. Names that
        LangGraph itself reads are refused here, those that move power (keys, endpoints) by the worker.
    """

    model_config = ConfigDict(extra="forbid")  # a misspelt setting must not be ignored

    tags: list[Name] = Field(default_factory=list, max_length=64)
    recursion_limit: int | None = Field(default=None, ge=1, le=2_147_483_647)
    model: Name | None = None
    keep_checkpoints: int | None = Field(default=None, ge=1, le=1_000_000)
    configurable: dict[Name, JsonValue] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_what_is_new(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A peer of the version before refuses a setting that it does not know, also one that is not set.
        body: dict[str, Any] = write(self)
        return {name: value for name, value in body.items() if value is not None or name != "keep_checkpoints"}

    @field_validator("tags")
    @classmethod
    def _no_reserved_tags(cls, value: list[str]) -> list[str]:
        taken = sorted(tag for tag in value if _RESERVED_TAGS.match(tag))
        if taken:
            raise ValueError(f"{', '.join(taken)}: LangGraph obeys this tag, so an event may not set it; leave it out")
        return value

    @field_validator("configurable")
    @classmethod
    def _no_reserved_names(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        taken = sorted(name for name in value if _RESERVED_CONFIGURABLE.match(name))
        if taken:
            raise ValueError(
                f"{', '.join(taken)}: LangGraph's own, reserved for the worker. For a conversation, use the event's "
                "thread_id field; for everything else, another name"
            )
        if "model" in value:
            raise ValueError("model: set config.model instead, which the worker checks against its allow-list")
        size = len(pydantic_core.to_json(value))
        if size > MAX_CONFIGURABLE_BYTES:
            raise ValueError(
                f"{size:,} bytes, over the limit of {MAX_CONFIGURABLE_BYTES:,}; large values belong to payload.data"
            )
        return value


class Budget(WireModel):
    """Upper limits of one run. A worker that does not enforce them must refuse an event that has any.

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
    :param answered_by: the person who answered.
    """

    interrupt_id: Name
    value: JsonValue = None
    answered_by: Who | None = None


REQUESTS = frozenset({EventType.WORKFLOW_TRIGGERED, EventType.WORKFLOW_RESUMED})
"""The event types that ask for a run; on the events topic every other type is refused."""


class WorkflowEvent(WireModel):
    """A request to run a graph.

    :param event_id: the correlation id of the reply. A message without one gets it from its place in Kafka, so a plain
        event that is delivered twice is one request.
    :param timestamp: the time of the request. A message without one gets the record's timestamp.
    :param workflow_id: the DAG.
    :param workflow_run_id: the DAG run.
    :param graph: a name in the worker's ``langgraph.json``; None means its only or its default graph.
    :param thread_id: a conversation that the author shares between tasks; None means a thread of the run's own.
    :param attempt: None for a plain request, which is never superseded.
    :param deadline: after it the request does not start, and a run ends with status ``timeout``.
    :param reply_topic: must be on the worker's allow-list; None means the fleet's results topic.
    :param round: 0, and one more for each answer to an interrupt.
    :param answers: on ``workflow.resumed`` only, at least one.
    :param answers_to: on ``workflow.resumed`` only: the ``correlation_id`` of the result that asks what is answered.
        None means the task's own question, else that of the same ``workflow_id`` and ``workflow_run_id``.
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
    answers_to: UUID | None = None

    @model_validator(mode="after")
    def _answers_belong_to_a_resume(self) -> WorkflowEvent:
        resumed = self.event_type is EventType.WORKFLOW_RESUMED
        if self.answers and not resumed:
            raise ValueError(f"answers: only {EventType.WORKFLOW_RESUMED.value} carries answers")
        if self.answers_to is not None and not resumed:
            raise ValueError(f"answers_to: only {EventType.WORKFLOW_RESUMED.value} has it; leave it out")
        if resumed and (not self.answers or self.round < 1):
            raise ValueError(f"answers: {EventType.WORKFLOW_RESUMED.value} needs at least one, and a round above 0")
        return self
