"""A history made up for the judges: one request that went well, to be spoilt by a test."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from devtools.processes import Child
from tests.chaos.evidence import Checkpoint, Evidence
from tests.chaos.faults import Snapshot, Window
from tests.chaos.fleet import Life
from tests.chaos.ledger import Execution
from tests.chaos.plan import NODES
from tests.chaos.record_factory import RecordFactory
from tests.chaos.request_checks import Judge
from tests.chaos.sent_requests import Relation, SentRequest, SentRequests
from tests.chaos.writer_checks import Writers
from workflow_events import ResultStatus, WorkflowResultEvent

T = 1_790_000_000.0
"""When the history begins."""
ONE, OTHER = 11, 22
"""Processes."""


@dataclass(frozen=True)
class Record:
    """As much of a Kafka message as the judges look at."""

    key_bytes: bytes
    body: bytes | None
    named: tuple[tuple[str, bytes], ...] = ()
    place: tuple[int, int] = (0, 0)

    def key(self) -> bytes:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.body

    def headers(self) -> list[tuple[str, bytes]]:
        return list(self.named)

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def timestamp(self) -> tuple[int, int]:
        return 1, int((T + 1) * 1000)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(T + seconds, UTC)


class History:
    """One plain request that went well: a second for each of its nodes, all in process ONE."""

    def __init__(self, relation: Relation = "plain") -> None:
        self.sent_requests, letters = SentRequests(), RecordFactory(1)
        self.asked: SentRequest = replace(
            letters.plain() if relation == "plain" else letters.first(), relation=relation
        )
        self.sent_requests.add(self.asked)
        self.windows: list[Window] = []
        self.snapshots: list[Snapshot] = []
        self.lives = [Life(0, ONE, cast("Child", None), T, died_at=T + 99), Life(1, OTHER, cast("Child", None), T)]
        self.lives[1].died_at = T + 99
        self.executions = [self.execution(node, 1 + number, float(number)) for number, node in enumerate(NODES)]
        self.checkpoints = [self.checkpoint(step, float(step)) for step in range(5)]
        self.committed = {0: 1}
        self.letters: list[Record] = []
        named = (("correlation-id", str(self.asked.id).encode()),)
        self.events = [Record(b"", self.asked.encoded.value, named)]
        trail = [f"{one.node}:{one.name}" for one in self.executions]
        self.result(ResultStatus.SUCCESS, result={**self.asked.event.payload.data, "trail": trail})
        self.row: dict[str, Any] = {"attempts": 1, "accepted_at": at(0), "finished_at": at(4), "published_at": at(4)}
        self.further: dict[UUID, dict[str, Any]] = {}

    def result(self, status: ResultStatus, **fields: Any) -> None:
        address = {"correlation_id": self.asked.id, "workflow_id": "chaos", "workflow_run_id": "run"}
        answer = WorkflowResultEvent(**address, status=status, **fields)
        self.results = {self.asked.id: [Record(str(self.asked.id).encode(), answer.model_dump_json().encode())]}

    def execution(self, node: str, step: int, began: float, pid: int = ONE) -> Execution:
        request_id = self.asked.id
        return Execution(
            uuid.uuid4().hex, pid, node, step, request_id, f"run-{request_id}", "thread", T + began, T + began + 0.9
        )

    def checkpoint(self, step: int, committed: float) -> Checkpoint:
        return Checkpoint("thread", f"c{step}", f"c{step - 1}", f"run-{self.asked.id}", step, "loop", T + committed)

    def suspend(self, pid: int, since: float, until: float) -> None:
        next(life for life in self.lives if life.pid == pid).suspended.append((T + since, T + until))

    def evidence(self) -> Evidence:
        reply = [messages[0].value() for messages in self.results.values()]
        told = json.loads(reply[0] or b"{}") if reply else {}
        row = {
            "correlation_id": self.asked.id,
            "logical_run": f"run-{self.asked.id}",
            "result_status": told.get("status"),
            "reply_value": reply[0] if reply else None,
            **self.row,
        }
        return Evidence(
            {self.asked.id: row, **self.further},
            self.checkpoints,
            {(one.logical_run, one.step): one.committed for one in self.checkpoints},
            cast("Any", self.results),
            cast("Any", self.letters),
            cast("Any", self.events),
            self.committed,
        )

    def rules(self) -> set[str]:
        """Which are violated."""
        evidence = self.evidence()
        executions = sorted(self.executions, key=lambda one: one.began)
        judge = Judge(self.sent_requests, evidence, self.windows, self.snapshots)
        writers = Writers(executions, evidence, self.lives, self.windows)
        return {found.rule for found in (*judge.verdicts(), *writers.verdicts())}
