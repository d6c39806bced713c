"""Runs as the API shows them. The names are those of ``langgraph-worker runs --json``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from langgraph_worker.domain.models import Decision, StepStatus
from langgraph_worker.domain.retry_policy import ErrorClass
from langgraph_worker.domain.run_views import (
    ErrorView,
    QuestionView,
    RunDetail,
    RunPage,
    RunSummary,
    StepPage,
    StepView,
    ViewStatus,
    WaitsFor,
)
from workflow_events.results import ModelUsage, WorkflowResultEvent


class Run(BaseModel):
    """One run, as a line of a list."""

    model_config = ConfigDict(from_attributes=True)

    correlation_id: UUID
    status: ViewStatus
    decision: Decision = Field(description="what its request was to what the store had seen")
    graph: str | None = Field(description="null for a request that was refused before its graph was known")
    workflow_id: str = Field(description="the DAG")
    workflow_run_id: str = Field(description="the DAG run")
    try_number: int | None = Field(description="of the Airflow task; null for a plain request")
    replay: int | None
    round: int = Field(description="0, and one more for each answer to its questions")
    thread_id: str | None
    thread_name: str | None
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int = Field(description="how often it was started")
    worker_id: str | None
    error_type: str | None
    deployment: str | None = Field(description="the Airflow installation that asked; empty: none; null: not known")

    @classmethod
    def of(cls, run: RunSummary) -> Self:
        """The line of a run."""
        return cls.model_validate(run)


class RunList(BaseModel):
    """Some runs, the newest first."""

    runs: list[Run]
    next: str | None = Field(description="`page` of the next request; null: there are no more")

    @classmethod
    def of(cls, page: RunPage) -> Self:
        """A page."""
        return cls(runs=[Run.of(run) for run in page.runs], next=None if page.next is None else str(page.next))


class RunDetails(Run):
    """One run, without its steps and errors, which have places of their own."""

    event: dict[str, JsonValue] | None = Field(description="the request as it was accepted")
    result: WorkflowResultEvent | None = Field(description="null while it is unfinished")
    deadline: datetime | None
    not_before: datetime | None = Field(description="it backs off until then")
    logical_run: UUID | None = Field(description="what it shares with the requests that continue each other")
    generation: int | None
    release: str | None
    takeovers: int
    published_at: datetime | None
    waits_for: WaitsFor | None = Field(description="what may keep a pending run from starting")
    questions: list[QuestionView]
    usage: dict[str, ModelUsage] = Field(description="by model")

    @classmethod
    def of_detail(cls, detail: RunDetail) -> Self:
        """All of a run but its steps and errors."""
        about = {name: getattr(detail, name) for name in cls.model_fields if name not in Run.model_fields}
        return cls.model_validate({**Run.of(detail.run).model_dump(), **about})


class RunStep(BaseModel):
    """One execution of one node."""

    attempt: int = Field(description="the start of the run that it belongs to")
    step_id: str
    namespace: str = Field(description="the path of subgraphs; empty in the graph itself")
    node: str
    agent: str | None
    status: StepStatus
    started_at: datetime
    finished_at: datetime | None
    input: JsonValue
    output: JsonValue
    error: str | None

    @classmethod
    def of(cls, view: StepView) -> Self:
        """A step."""
        return cls(attempt=view.attempt, **asdict(view.step))


class StepList(BaseModel):
    """Steps of a run, in the order of their starts."""

    steps: list[RunStep]
    next: str | None = Field(description="`page` of the next request; null: there are no more by now")

    @classmethod
    def of(cls, page: StepPage) -> Self:
        """A page."""
        return cls(steps=[RunStep.of(one) for one in page.steps], next=None if page.next is None else str(page.next))


class RunError(BaseModel):
    """One error of a run: each that was repeated, and the one that has ended it."""

    attempt: int
    error_type: str
    message: str
    traceback: str
    node: str | None
    error_class: ErrorClass | None = Field(description="what the exception says about a next try")
    model: str | None
    wait_seconds: float | None = Field(description="after which the run was repeated; null: the error has ended it")
    worker_id: str | None
    occurred_at: datetime

    @classmethod
    def of(cls, view: ErrorView) -> Self:
        """An error."""
        return cls(attempt=view.attempt, worker_id=view.worker_id, occurred_at=view.occurred_at, **asdict(view.failure))


class ErrorList(BaseModel):
    """The newest errors of a run, oldest first."""

    errors: list[RunError]


class AttemptList(BaseModel):
    """The newest requests of a run's work: tries, answers, replays and itself; oldest first."""

    attempts: list[Run]
