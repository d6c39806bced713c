"""The request that Airflow sends to a worker: :class:`WorkflowEvent`.

The models accept the plain events that people write by hand (six fields). They check the fields that they know and
ignore the others, so that a newer peer can add some.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from workflow_events.fields import EARLIEST as EARLIEST
from workflow_events.fields import LATEST as LATEST
from workflow_events.fields import Count as Count
from workflow_events.fields import FieldError, MaybeName
from workflow_events.fields import Name as Name
from workflow_events.fields import Priority as Priority
from workflow_events.fields import Reason as Reason
from workflow_events.fields import UtcDatetime as UtcDatetime
from workflow_events.fields import Who as Who
from workflow_events.fields import WireModel as WireModel
from workflow_events.fields import utcnow as utcnow
from workflow_events.run_config import MAX_CONFIGURABLE_BYTES as MAX_CONFIGURABLE_BYTES
from workflow_events.run_config import GraphCommand, RunValues
from workflow_events.run_config import RunConfig as RunConfig


def _is_uuid7(value: UUID) -> UUID:
    if value.version != 7:
        raise ValueError("is no uuid7. Take Airflow's ti.id; a request that is of no Airflow task has no attempt")
    return value


class EventType(StrEnum):
    """What a message is. The first seven are on the events, results and progress topics, the last five on control."""

    WORKFLOW_TRIGGERED = "workflow.triggered"
    WORKFLOW_RESUMED = "workflow.resumed"
    WORKFLOW_FORKED = "workflow.forked"
    WORKFLOW_COMPLETED = "workflow.completed"
    WORKFLOW_FAILED = "workflow.failed"
    WORKFLOW_RESULT = "workflow.result"
    WORKFLOW_PROGRESS = "workflow.progress"
    WORKFLOW_CANCELLED = "workflow.cancelled"
    WORKFLOW_SUPERSEDED = "workflow.superseded"
    WORKFLOW_QUERY = "workflow.query"
    WORKFLOW_PAUSED = "workflow.paused"
    WORKFLOW_UNPAUSED = "workflow.unpaused"


class EventSource(StrEnum):
    """The kind of system that wrote the message."""

    AIRFLOW = "airflow"
    LANGGRAPH = "langgraph"
    FASTAPI = "fastapi"


class WorkflowEventPayload(WireModel):
    """The input of the graph, as JSON.

    :param data: for a graph whose state is a mapping: its initial values. For others any JSON value but null.
    :param command: instead of ``data``, on a thread that has a state: see :class:`GraphCommand`.
    """

    data: JsonValue = Field(default_factory=dict)
    command: GraphCommand | None = None

    @field_validator("data", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null: for an empty input, leave it out")
        return value

    @model_validator(mode="after")
    def _one_input(self) -> WorkflowEventPayload:
        if self.command is not None and self.data != {}:
            raise ValueError("data and command: an input is one of them; leave the other out")
        return self


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
    deployment: MaybeName = ""
    agent: Name = "default"
    id: Annotated[UUID, AfterValidator(_is_uuid7)]
    try_number: Count
    max_tries: Count
    run_start: UtcDatetime | None = None
    returned: bool = False
    replay: Count = 0
    on_retry: Literal["resume", "restart"] = "resume"
    on_clear: Literal["restart", "resume"] = "restart"


class Replay(WireModel):
    """Says of which dead letter a request is the replay. An event with ``attempt`` has the number there as well.

    :param of: the correlation id of the request that was dead-lettered, of the first where replays of it were too.
    :param number: n for the n-th replay of that request.
    """

    of: UUID
    number: Annotated[Count, Field(ge=1)]


class Fork(WireModel):
    """Says with which checkpoint a fork begins. Its thread is a new one: that of the origin stays as it is.

    :param of: the correlation id of a request; the checkpoint is of its thread.
    :param checkpoint_id: LangGraph's, of the run's own graph.
    :param as_node: the node in whose name ``payload.data`` changes the state: those behind it run next. None: the one
        that wrote last.
    :param deployment: the Airflow installation that asked the origin: the fork has its long-term memory. An event with
        ``attempt`` has it there.
    :param run_start: the origin's ``attempt.run_start``: by it the fork spends for the same DAG run.
    """

    of: UUID
    checkpoint_id: Name
    as_node: Name | None = None
    deployment: MaybeName = ""
    run_start: UtcDatetime | None = None


MOST_COUNTED = 2**63 - 1
"""The highest number of tokens or steps that a run store holds."""


class SpendLimits(WireModel):
    """Upper limits of what may be spent. A field that is not known is refused: a limit that is not kept would be none.

    :param tokens: input and output tokens, all models together.
    :param cost_usd: in US dollars, by the providers' list prices.
    :param steps: supersteps of the runs' own graphs.
    :param seconds: wall time while running, not while waiting.
    """

    model_config = ConfigDict(extra="forbid")

    tokens: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    cost_usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    steps: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Budget(SpendLimits):
    """Upper limits of one logical run: over its retries, takeovers and the rounds of its answers. A worker that does
    not enforce them must refuse an event that has any.

    :param dag_run: limits of what all runs of the event's DAG run spend together, whatever their graphs. This run is
        stopped by them; another one, by those of its own event.
    """

    dag_run: SpendLimits | None = None


class Answer(WireModel):
    """A person's answer to one pending interrupt.

    :param interrupt_id: the id that the ``interrupted`` result named.
    :param value: what the graph's ``interrupt()`` call returns.
    :param answered_by: the person who answered.
    """

    interrupt_id: Name
    value: JsonValue = None
    answered_by: Who | None = None


REQUESTS = frozenset({EventType.WORKFLOW_TRIGGERED, EventType.WORKFLOW_RESUMED, EventType.WORKFLOW_FORKED})
"""The event types that ask for a run; on the events topic every other type is refused."""


class WorkflowEvent(WireModel):
    """A request to run a graph.

    :param event_id: the correlation id of the reply. A message without one gets it from its place in Kafka, so a plain
        event that is delivered twice is one request.
    :param timestamp: the time of the request. A message without one gets the record's timestamp.
    :param workflow_id: the DAG.
    :param workflow_run_id: the DAG run.
    :param graph: a name in the worker's ``langgraph.json``; None means its only or its default graph.
    :param assistant: one of the graph's assistants in ``langgraph.json``, which are named values of ``context`` and
        ``configurable``; None means the graph's own values.
    :param context: what nodes read as ``runtime.context``, up to :data:`MAX_CONFIGURABLE_BYTES` of JSON. It replaces
        values of the graph's entry and assistant by name. Names that LangGraph itself reads are refused here, those
        that move power (keys, endpoints) or that the graph's context schema does not have by the worker.
    :param thread_id: a conversation that the author shares between tasks; None means a thread of the run's own.
    :param attempt: None for a plain request, which is never superseded.
    :param deadline: after it the request does not start, and a run ends with status ``timeout``.
    :param reply_topic: must be on the worker's allow-list; None means the fleet's results topic.
    :param budget: what the logical run may spend. The lowest of this, of the graph's entry in ``langgraph.json`` and,
        for an answer, of the request that asked holds.
    :param priority: the higher, the earlier it starts among what waits; of an Airflow task its weight. What came long
        enough before goes first whatever its priority, so nothing waits for ever. For an answer the higher of this and
        of that of the request that asked holds.
    :param replay: None unless it is the replay of a dead letter, with an id of its own: it goes on with the run of the
        request that it replays.
    :param fork: on ``workflow.forked`` only: the checkpoint of an earlier run with which the run begins, in the place
        of an input. ``payload.data`` changes the state there; ``{}`` changes nothing.
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
    assistant: Name | None = None
    context: RunValues | None = None
    thread_id: Name | None = None
    attempt: Attempt | None = None
    deadline: UtcDatetime | None = None
    reply_topic: Name | None = None
    config: RunConfig = Field(default_factory=RunConfig)
    budget: Budget | None = None
    priority: Priority = 0
    replay: Replay | None = None
    fork: Fork | None = None
    round: Count = 0
    answers: list[Answer] = Field(default_factory=list, max_length=256)
    answers_to: UUID | None = None

    @property
    def deployment(self) -> str | None:
        """The Airflow installation that asks; None for a plain request."""
        if self.attempt is not None:
            return self.attempt.deployment
        return (self.fork.deployment or None) if self.fork is not None else None

    @property
    def run_start(self) -> datetime | None:
        """When the DAG run began that asks; None where it is not known."""
        of = self.attempt or self.fork
        return of.run_start if of is not None else None

    @model_validator(mode="after")
    def _answers_belong_to_a_resume(self) -> WorkflowEvent:
        resumed = self.event_type is EventType.WORKFLOW_RESUMED
        if self.answers and not resumed:
            raise FieldError("answers", f"only {EventType.WORKFLOW_RESUMED.value} carries answers")
        if self.answers_to is not None and not resumed:
            raise FieldError("answers_to", f"only {EventType.WORKFLOW_RESUMED.value} has it; leave it out")
        if resumed and (not self.answers or self.round < 1):
            raise FieldError("answers", f"{EventType.WORKFLOW_RESUMED.value} needs at least one, and a round above 0")
        return self

    @model_validator(mode="after")
    def _a_fork_names_its_checkpoint(self) -> WorkflowEvent:
        forked = EventType.WORKFLOW_FORKED
        if (self.fork is not None) != (self.event_type is forked):
            what = f"only {forked.value} has one; leave it out" if self.fork else f"{forked.value} needs one"
            raise FieldError("fork", what)
        if self.fork is not None and self.payload.command is not None:
            raise FieldError("payload.command", "a fork has none; give payload.data, and fork.as_node")
        if self.fork is not None and self.thread_id is not None:
            raise FieldError("thread_id", "a fork has a thread of its own; leave it out")
        return self

    @model_validator(mode="after")
    def _one_replay_number(self) -> WorkflowEvent:
        if self.replay is not None and self.attempt is not None and self.attempt.replay != self.replay.number:
            raise FieldError("replay.number", f"attempt.replay is {self.attempt.replay}; the two must be the same")
        return self

    @model_validator(mode="after")
    def _one_answer_by_question(self) -> WorkflowEvent:
        given: dict[str, JsonValue] = {}
        for answer in self.answers:
            if given.setdefault(answer.interrupt_id, answer.value) != answer.value:
                raise FieldError("answers", f"interrupt {answer.interrupt_id!r} has two that differ; leave one out")
        return self

    @model_validator(mode="after")
    def _one_value_by_name(self) -> WorkflowEvent:
        twice = sorted(set(self.context or ()) & set(self.config.configurable))
        if twice:
            raise FieldError("context", f"config.configurable sets {', '.join(twice)} as well; set it in one of them")
        if self.config.model is not None and "model" in (self.context or ()):
            raise FieldError("context", "config.model sets model as well; set it in one of them")
        return self
