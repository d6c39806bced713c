"""What is left to judge by: the rows of PostgreSQL with the times of their commits, and the records of Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from confluent_kafka import Message
from psycopg.rows import dict_row

from tests.support.kafka import KafkaTopics

_RUNS = """SELECT correlation_id, status, decision, result_status, error_type, attempts, takeovers, task,
    logical_run::text AS logical_run, thread_id, worker_id, accepted_at, started_at, finished_at, published_at,
    partition, "offset",
    reply_key, reply_value FROM workflow_runs"""
_CHECKPOINTS = """SELECT thread_id, checkpoint_id, parent_checkpoint_id, metadata->>'run_id' AS logical_run,
    (metadata->>'step')::int AS step, metadata->>'source' AS source,
    extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS committed FROM checkpoints WHERE checkpoint_ns = ''"""
_WRITES = """SELECT thread_id, checkpoint_id,
    min(extract(epoch FROM pg_xact_commit_timestamp(xmin)))::float8 AS committed
    FROM checkpoint_writes WHERE checkpoint_ns = '' AND channel <> '__error__' GROUP BY 1, 2"""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """:param committed: when it was durable, by the wall clock."""

    thread: str
    id: str
    parent: str | None
    logical_run: str
    step: int
    source: str
    committed: float


@dataclass(frozen=True)
class Evidence:
    """:param durable: by logical run and superstep, when what its node wrote was durable.
    :param results: all records of the results topic, by their key.
    """

    runs: dict[UUID, dict[str, Any]]
    checkpoints: list[Checkpoint]
    durable: dict[tuple[str, int], float]
    results: dict[UUID, list[Message]]
    letters: list[Message]
    events: list[Message]
    committed: dict[int, int]

    @property
    def chains(self) -> dict[str, list[Checkpoint]]:
        """Checkpoints by thread, oldest first."""
        found: dict[str, list[Checkpoint]] = defaultdict(list)
        for one in sorted(self.checkpoints, key=lambda one: one.id):
            found[one.thread].append(one)
        return found


def gather(url: str, kafka: KafkaTopics, group: str) -> Evidence:
    """Read it all, once nothing changes any more."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        runs = {row["correlation_id"]: row for row in connection.execute(_RUNS)}
        checkpoints = [_checkpoint(row) for row in connection.execute(_CHECKPOINTS)]
        writes = list(connection.execute(_WRITES))
    fleet = kafka.fleet
    results: dict[UUID, list[Message]] = defaultdict(list)
    for message in kafka.read_all(fleet.results, timeout=120):
        results[UUID(bytes(message.key() or b"").decode())].append(message)
    return Evidence(
        runs,
        checkpoints,
        dict(_durable(checkpoints, writes)),
        results,
        kafka.read_all(fleet.dead_letters, timeout=60),
        kafka.read_all(fleet.events, timeout=120),
        kafka.committed(group, fleet.events),
    )


def _checkpoint(row: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        row["thread_id"],
        row["checkpoint_id"],
        row["parent_checkpoint_id"],
        row["logical_run"],
        row["step"],
        row["source"],
        row["committed"],
    )


def _durable(checkpoints: list[Checkpoint], writes: list[dict[str, Any]]) -> Iterator[tuple[tuple[str, int], float]]:
    """A node is durable with its writes, which hang on the checkpoint before it, or with the checkpoint after it.

    Writes whose checkpoint is not there keep nothing: LangGraph may run a thread's first node while its input is still
    being stored, and a kill between the two leaves the writes alone.
    """
    found: dict[tuple[str, int], float] = {}
    before = {(one.thread, one.id): one for one in checkpoints}
    times = [((one.logical_run, one.step), one.committed) for one in checkpoints]
    for row in writes:
        one = before.get((row["thread_id"], row["checkpoint_id"]))
        if one is not None:
            times.append(((one.logical_run, one.step + 1), row["committed"]))
    for place, committed in times:
        found[place] = min(committed, found.get(place, committed))
    yield from found.items()


def seconds(moment: datetime) -> float:
    """By the wall clock."""
    return moment.timestamp()
