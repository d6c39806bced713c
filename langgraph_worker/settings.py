"""The worker's settings. One model is the environment, the flags and their documentation.

A field ``kafka_x`` is the environment variable ``KAFKA_X`` and the flag ``--kafka-x``; a field ``y`` is
``LANGGRAPH_WORKER_Y`` and ``--y``. A flag wins over the environment; an empty variable counts as unset.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasGenerator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from langgraph_worker.errors import SettingsError
from langgraph_worker.kafka.config import refuse_protocol_breakers
from langgraph_worker.store.url import check_url
from workflow_events.topics import Fleet

PREFIX = "LANGGRAPH_WORKER_"
_FLEET = Fleet()


def env_name(field: str) -> str:
    """The environment variable of a field."""
    return field.upper() if field.startswith("kafka_") else PREFIX + field.upper()


def flag_name(field: str) -> str:
    """The command-line flag of a field."""
    return "--" + field.replace("_", "-")


def _from_json_object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise ValueError("must be a JSON object")
    return parsed


def _from_comma_list(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _default_worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Days = Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)]
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_from_comma_list)]
GraphCounts = Annotated[dict[str, Annotated[int, Field(ge=1)]], NoDecode, BeforeValidator(_from_json_object)]
KafkaConfig = Annotated[dict[str, str | int | float | bool], NoDecode, BeforeValidator(_from_json_object)]


class WorkerSettings(BaseSettings):
    """What a worker needs to know. Every default works on one machine with Kafka at its usual port."""

    model_config = SettingsConfigDict(
        alias_generator=AliasGenerator(validation_alias=env_name),
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    kafka_bootstrap_servers: str = Field("localhost:9092", min_length=1, description="brokers as host:port[,host:port]")
    kafka_workflow_events_topic: Topic = Field(_FLEET.events, description="topic that requests are read from")
    kafka_workflow_results_topic: Topic = Field(_FLEET.results, description="topic that results are written to")
    kafka_workflow_dead_letters_topic: Topic = Field(
        _FLEET.dead_letters, description="topic for events that cannot be run, with the reason in their headers"
    )
    kafka_workflow_control_topic: Topic = Field(
        _FLEET.control, description="topic that cancels, newer attempts and questions for stored results are read from"
    )
    kafka_workflow_progress_topic: Topic = Field(
        _FLEET.progress, description="topic that tells, best effort, what runs do; without it nothing is told"
    )
    kafka_workflow_tokens_topic: Topic | None = Field(
        None, description="topic for the tokens of chat models while they are written; unset: they are not told"
    )
    kafka_consumer_group_id: str = Field(
        "langgraph-consumer-group", min_length=1, description="consumer group: one for each fleet of workers"
    )
    kafka_enable_auto_commit: bool = Field(
        False, description="must stay false: an offset is committed when the run store holds the request"
    )
    kafka_config: KafkaConfig = Field(
        default_factory=dict,
        repr=False,
        description='further librdkafka settings as a JSON object, such as {"security.protocol": "SASL_SSL", ...}',
        json_schema_extra={"secret": True},
    )
    langgraph_json: Path = Field(Path("langgraph.json"), description="the project's langgraph.json")
    default_graph: str | None = Field(
        None, min_length=1, description="graph for events that name none; unset: the only graph, if there is one"
    )
    store_url: str = Field(
        "sqlite:///langgraph-worker.db",
        min_length=1,
        repr=False,
        description="database of the run store and the checkpoints: postgresql://user:password@host:5432/database, or "
        "for a single worker sqlite:///file",
        json_schema_extra={"secret": True},
    )
    worker_id: str = Field(
        default_factory=_default_worker_id,
        min_length=1,
        max_length=255,
        description="name in leases, results and logs; unset: host, process id and a random part",
    )
    concurrency: int = Field(32, ge=1, le=10_000, description="runs at once")
    graph_concurrency: GraphCounts = Field(
        default_factory=dict,
        description='runs at once of single graphs, as a JSON object such as {"deep_research": 4}; others have no '
        "limit of their own",
    )
    prefetch: int = Field(8, ge=0, le=10_000, description="accepted requests that may wait for a free slot")
    max_waiting: int = Field(
        10_000,
        ge=1,
        description="unfinished requests that one graph may have in the store before no more events are taken in",
    )
    max_waiting_bytes: int = Field(
        268_435_456, ge=10_000, description="the same in bytes: the events of one graph's unfinished requests"
    )
    node_threads: int = Field(32, ge=1, le=10_000, description="threads for synchronous nodes, all runs together")
    lease_seconds: Seconds = Field(30.0, description="how long a thread stays this worker's without a sign of life")
    renew_seconds: Seconds = Field(10.0, description="time between signs of life; at most half of the lease")
    hang_seconds: Seconds = Field(
        120.0,
        description="how long the event loop may stand still, blocked by a node, before the worker ends itself and "
        "others take its runs over",
    )
    drain_seconds: float = Field(
        25.0, ge=0, allow_inf_nan=False, description="how long a stopping worker lets its runs finish"
    )
    retention_days: Days = Field(
        30.0, description="how long an ended run is kept at least; langgraph-worker prune removes older ones"
    )
    tombstone_days: Days = Field(
        30.0,
        description="how long a pruned request is known not to run again; longer than the events topic keeps records",
    )
    unknown_graph_grace_seconds: float = Field(
        60.0, ge=0, allow_inf_nan=False, description="how long a request waits for a worker that knows its graph"
    )
    max_deadline_days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)] = Field(
        30.0, description="how far ahead a request's deadline may lie; a later one is brought forward"
    )
    recursion_limit: int = Field(100, ge=1, description="supersteps of a run; an event may lower it, not raise it")
    max_message_bytes: int = Field(
        1_000_000, ge=10_000, description="largest event taken and largest result sent, in bytes"
    )
    max_step_bytes: int = Field(
        65_536, ge=256, description="input and output kept of each node's execution, in bytes of JSON"
    )
    progress_per_second: float = Field(
        10.0, ge=0, le=1_000, allow_inf_nan=False, description="most progress messages of one run; 0: none at all"
    )
    allowed_models: CommaList = Field(
        (), description="chat models an event may choose, separated by commas; empty: it may name none"
    )
    allowed_reply_topics: CommaList = Field(
        (), description="topics an event may ask its result on, beside the results topic; separated by commas"
    )
    create_topics: bool = Field(False, description="create the fleet's topics at start if they are missing")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")

    @field_validator("kafka_enable_auto_commit")
    @classmethod
    def _no_auto_commit(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "true would lose requests: an offset is committed when the run store holds the request, never by a "
                "timer. Unset it or set it to false"
            )
        return value

    @field_validator("kafka_config")
    @classmethod
    def _keeps_the_protocol(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_protocol_breakers(value)
        return value

    @field_validator("store_url")
    @classmethod
    def _is_a_known_store(cls, value: str) -> str:
        try:
            check_url(value)
        except SettingsError as error:
            raise ValueError(str(error).removeprefix(f"{env_name('store_url')}: ")) from None
        return value

    @field_validator("renew_seconds")
    @classmethod
    def _renews_in_time(cls, value: float, info: ValidationInfo) -> float:
        lease = info.data.get("lease_seconds")
        if lease is not None and value > lease / 2:
            raise ValueError(
                f"must be at most half of {env_name('lease_seconds')} ({lease:g}), so that one missed renewal loses "
                "no run"
            )
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _topics_differ(self) -> WorkerSettings:
        _ = self.fleet
        return self

    @property
    def fleet(self) -> Fleet:
        """The topics of this worker's fleet."""
        return Fleet(
            events=self.kafka_workflow_events_topic,
            results=self.kafka_workflow_results_topic,
            progress=self.kafka_workflow_progress_topic,
            control=self.kafka_workflow_control_topic,
            dead_letters=self.kafka_workflow_dead_letters_topic,
        )

    @property
    def reply_topics(self) -> frozenset[str]:
        """Every topic that a result may go to."""
        return frozenset({self.kafka_workflow_results_topic, *self.allowed_reply_topics})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as a person meets it."""

    field: str
    env: str
    flag: str
    description: str
    default: str
    secret: bool
    boolean: bool


def documentation() -> tuple[Setting, ...]:
    """Every setting, in the order of the model."""
    rows = []
    for name, field in WorkerSettings.model_fields.items():
        extra = field.json_schema_extra
        rows.append(
            Setting(
                field=name,
                env=env_name(name),
                flag=flag_name(name),
                description=field.description or "",
                default="" if field.default_factory or field.default in (None, ()) else str(field.default),
                secret=isinstance(extra, dict) and bool(extra.get("secret")),
                boolean=field.annotation is bool,
            )
        )
    return tuple(rows)


def load_settings(flags: Mapping[str, str]) -> WorkerSettings:
    """Settings from flags (by field name) and the environment.

    :raises SettingsError: names every wrong setting, where its value came from, why it is wrong and what is right.
    """
    given: dict[str, Any] = {env_name(field): value for field, value in flags.items()}
    try:
        return WorkerSettings(**given)
    except ValidationError as error:
        lines = [_explain(detail, flags) for detail in error.errors(include_url=False)]
        raise SettingsError("\n".join(lines)) from None


def _explain(detail: ErrorDetails, flags: Mapping[str, str]) -> str:
    reason = detail["msg"].removeprefix("Value error, ")
    known = {setting.env: setting for setting in documentation()}
    setting = known.get(str(detail["loc"][0])) if detail["loc"] else None
    if setting is None:
        return f"settings: {reason}. Two KAFKA_..._TOPIC settings must not name the same topic"
    if setting.field in flags:
        name, place = setting.flag, f"flag; the environment variable would be {setting.env}"
    else:
        name, place = setting.env, "environment variable" if setting.env in _environment() else "default"
    inner = ".".join(str(part) for part in detail["loc"][1:] if isinstance(part, str) and "." in part)
    value = "" if setting.secret else f"={detail['input']!r}"
    return f"{name}{value} ({place}): {inner + ': ' if inner else ''}{reason}. It is: {setting.description}"


def _environment() -> set[str]:
    return {name.upper() for name in os.environ}


def misspelt_variables() -> list[str]:
    """Environment variables with the worker's prefix that no setting reads, but for those Kubernetes adds itself."""
    known = {setting.env for setting in documentation()}
    ours = sorted(name for name in _environment() if name.startswith(PREFIX) and name not in known)
    return [name for name in ours if not name.startswith((PREFIX + "SERVICE_", PREFIX + "PORT"))]
