"""The worker's settings. One model is the environment, the flags and their documentation.

A field ``kafka_x`` is the environment variable ``KAFKA_X`` and the flag ``--kafka-x``; a field ``y`` is
``LANGGRAPH_WORKER_Y`` and ``--y``. A flag wins over the environment; an empty variable counts as unset. A secret has
no flag, because every user of a host sees flags in its list of processes; it has a variable and a file.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasGenerator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from langgraph_worker.errors import SettingsError
from langgraph_worker.settings.field_types import CommaList, Days, GraphCounts, KafkaConfig, Seconds, Topic
from langgraph_worker.settings.kafka_check import refuse_protocol_breakers
from langgraph_worker.settings.store_url import check_url
from workflow_events.topics import Fleet, consumer_group_of, prefix_of

PREFIX = "LANGGRAPH_WORKER_"


def env_name(field: str) -> str:
    """The environment variable of a field."""
    return field.upper() if field.startswith("kafka_") else PREFIX + field.upper()


def flag_name(field: str) -> str:
    """The command-line flag of a field."""
    return "--" + field.replace("_", "-")


def _followed(setting: str) -> dict[str, Any]:
    """Field arguments of a setting whose default follows from the fleet's name.

    :param setting: what it is of a fleet: a field of :class:`~workflow_events.topics.Fleet`, or ``consumer_group``.
    """

    def default(name: str) -> str:
        return consumer_group_of(name) if setting == "consumer_group" else str(getattr(Fleet.named(name), setting))

    return {
        "default_factory": lambda values: default(values["fleet"]),
        "json_schema_extra": {"default_in_words": f"{default('')}, behind the fleet's name"},
    }


def _default_worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


class WorkerSettings(BaseSettings):
    """All settings of a worker. The defaults work on one machine with Kafka at its usual port."""

    model_config = SettingsConfigDict(
        alias_generator=AliasGenerator(validation_alias=env_name),
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    kafka_bootstrap_servers: str = Field("localhost:9092", min_length=1, description="brokers as host:port[,host:port]")
    fleet: str = Field(
        "",
        description="name of the worker's fleet; the names of its topics and of its consumer group begin with it: "
        "fleet risk reads risk.workflow-events. A topic or group that is set by itself keeps its own name. Unset: the "
        "fleet without a name",
    )
    kafka_workflow_events_topic: Topic = Field(**_followed("events"), description="topic that requests are read from")
    kafka_workflow_results_topic: Topic = Field(**_followed("results"), description="topic that results are written to")
    kafka_workflow_dead_letters_topic: Topic = Field(
        **_followed("dead_letters"),
        description="topic for events that cannot be run, with the reason in their headers",
    )
    kafka_workflow_control_topic: Topic = Field(
        **_followed("control"),
        description="topic that cancels, newer attempts and questions for stored results are read from",
    )
    kafka_workflow_progress_topic: Topic = Field(
        **_followed("progress"),
        description="topic that progress of runs is written to, best effort; without the topic none is written",
    )
    kafka_workflow_graphs_topic: Topic = Field(
        **_followed("graphs"),
        description="topic that the worker's graphs are announced on, best effort; without the topic none is announced",
    )
    kafka_workflow_tokens_topic: Topic | None = Field(
        None, description="topic for the tokens of chat models while they are written; unset: they are not published"
    )
    kafka_consumer_group_id: str = Field(
        **_followed("consumer_group"), min_length=1, description="consumer group: one for each fleet of workers"
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
    kafka_config_file: Path | None = Field(None, description="file that holds KAFKA_CONFIG, instead of the variable")
    langgraph_json: Path = Field(Path("langgraph.json"), description="the project's langgraph.json")
    release: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="name of the deployed version of the project, in results, logs and the store; unset: a hash of the "
        "project's Python files and its langgraph.json",
    )
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
    store_url_file: Path | None = Field(
        None, description="file that holds LANGGRAPH_WORKER_STORE_URL, instead of the variable"
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
    prefetch: int = Field(
        8,
        ge=0,
        le=10_000,
        description="accepted requests that may wait for a free slot, of this worker or another; 0 counts as 1",
    )
    max_waiting: int = Field(
        10_000,
        ge=1,
        description="unfinished requests that one graph may have in the store before the intake stops; answers to "
        "questions are counted apart, under the same limit",
    )
    max_waiting_bytes: int = Field(
        268_435_456, ge=10_000, description="the same limit in bytes: the events of one graph's unfinished requests"
    )
    node_threads: int = Field(32, ge=1, le=10_000, description="threads for synchronous nodes, all runs together")
    lease_seconds: Seconds = Field(
        30.0, description="how long a thread stays this worker's without a renewal of its lease"
    )
    renew_seconds: Seconds = Field(10.0, description="time between renewals of the leases; at most half of the lease")
    hang_seconds: Seconds = Field(
        120.0,
        description="how long a node may block the event loop before the worker ends itself and others take over its "
        "runs",
    )
    drain_seconds: float = Field(
        25.0, ge=0, allow_inf_nan=False, description="how long a worker that stops lets its runs finish"
    )
    retention_days: Days = Field(
        30.0, description="how long an ended run is kept at least; langgraph-worker prune removes older runs"
    )
    tombstone_days: Days = Field(
        30.0,
        description="how long the store remembers that a pruned request must not run again; set it longer than the "
        "events topic keeps records",
    )
    keep_checkpoints: int = Field(
        20,
        ge=0,
        le=1_000_000,
        description="checkpoints of a thread that stay for looking back; a run that ends removes the oldest when there "
        "are more than twice as many. What a run may need stays as well; 0: all stay",
    )
    warn_state_bytes: int = Field(
        10_485_760,
        ge=1_000,
        description="size of one checkpoint, or of one node's output, from which on the log warns of a large state; "
        "again each time that it has doubled within a run",
    )
    unknown_graph_grace_seconds: float = Field(
        60.0, ge=0, allow_inf_nan=False, description="how long a request waits for a worker that knows its graph"
    )
    max_deadline_days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)] = Field(
        30.0, description="how far ahead a request's deadline may be; a later deadline is brought forward"
    )
    recursion_limit: int | None = Field(
        None,
        ge=1,
        le=2_147_483_647,
        description="supersteps of a run, at most. Not set: as many as the graph sets by with_config, else LangGraph's "
        "default of 10,007. An event may lower it, not raise it",
    )
    max_message_bytes: int = Field(
        1_000_000, ge=10_000, description="largest event that is accepted and largest result that is sent, in bytes"
    )
    max_step_bytes: int = Field(
        65_536, ge=256, description="input and output that are stored of each node's execution, in bytes of JSON"
    )
    max_memory_items: int = Field(
        100_000,
        ge=1,
        description="items in the long-term memory (LangGraph's store) of all graphs that bring none",
    )
    max_memory_bytes: int = Field(268_435_456, ge=1_000, description="the same limit in bytes of JSON")
    max_memory_item_bytes: int = Field(
        1_048_576, ge=100, description="largest value of one item in the long-term memory, in bytes of JSON"
    )
    republish_bytes_per_second: int = Field(
        20_000_000,
        ge=1_000,
        description="bytes of results that are published again per second, at most: for repeated requests, and for "
        "waiters that can no longer read them. The rest is delayed",
    )
    progress_per_second: float = Field(
        10.0,
        ge=0,
        le=1_000,
        allow_inf_nan=False,
        description="progress messages of one run per second, at most; 0: none",
    )
    allowed_models: CommaList = Field(
        (), description="chat models an event may choose, separated by commas; empty: it may name none"
    )
    fallback_model: str | None = Field(
        None,
        min_length=1,
        max_length=512,
        description="the model with which a run goes on whose input is too long for its own, where its graph's entry "
        "names none; empty: none",
    )
    allowed_reply_topics: CommaList = Field(
        (), description="topics an event may ask its result on, beside the results topic; separated by commas"
    )
    create_topics: bool = Field(False, description="create the fleet's topics at start if they are missing")
    checkpoint_packages: CommaList = Field(
        (),
        description="packages whose data classes a checkpoint may hold, beside the project's own and those that its "
        "modules import; separated by commas",
    )
    exception_texts: bool = Field(
        True,
        description="results, logs, steps and the store hold the texts of graphs' exceptions; false: their types alone",
    )
    health_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="port for /livez, /healthz, /readyz and /metrics (Prometheus); 0: a free one, which the log names; "
        "unset: no port. 9108 is free of other exporters",
    )
    health_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address of that port; 0.0.0.0: of every network. The port has no password, and shows names of "
        "graphs and models",
    )
    api_port: int = Field(9109, ge=0, le=65_535, description="port of `langgraph-worker api`; 0: a free one")
    api_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="address that `langgraph-worker api` listens on. It has no TLS: on any but loopback a proxy before "
        "it needs it",
    )
    api_tokens_file: Path | None = Field(
        None,
        description="TOML file with the hashes of the tokens of the API's clients, their roles and what they may see; "
        "read again when it changes",
    )
    api_audit_days: float = Field(
        365.0,
        ge=1,
        le=36_500,
        allow_inf_nan=False,
        description="`prune` removes what is kept of older requests to the API: their audit and idempotency keys",
    )
    api_requests_per_second: float = Field(
        50.0,
        gt=0,
        le=100_000,
        allow_inf_nan=False,
        description="requests of one token to the API per second, at most in the long run; more are answered 429",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level that is logged")
    log_format: Literal["text", "json"] = Field("text", description="one line of text, or one JSON object, per entry")

    @field_validator("fleet")
    @classmethod
    def _can_name_topics(cls, value: str) -> str:
        prefix_of(value)
        return value

    @field_validator("kafka_enable_auto_commit")
    @classmethod
    def _no_auto_commit(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "true would lose requests: an offset is committed when the run store holds the request, never by a "
                "timer. Unset it, or set it to false"
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
        _ = self.topics
        return self

    @property
    def topics(self) -> Fleet:
        """The topics of this worker's fleet."""
        return replace(
            Fleet.named(self.fleet),
            events=self.kafka_workflow_events_topic,
            results=self.kafka_workflow_results_topic,
            progress=self.kafka_workflow_progress_topic,
            control=self.kafka_workflow_control_topic,
            dead_letters=self.kafka_workflow_dead_letters_topic,
            graphs=self.kafka_workflow_graphs_topic,
        )

    @property
    def fleet_in_words(self) -> str:
        """The fleet, as a log line or a verdict names it."""
        return f"fleet {self.fleet}" if self.fleet else "the fleet without a name"

    @property
    def reply_topics(self) -> frozenset[str]:
        """Every topic that a result may go to."""
        return frozenset({self.kafka_workflow_results_topic, *self.allowed_reply_topics})
