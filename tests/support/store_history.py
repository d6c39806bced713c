"""The history of a run store: who asked for what, what the store said, and what is in its database.

Whatever the store says is compared with what follows from the history so far. Who owns a thread, which questions are
pending and how often a run lost its owner follow from the store's own earlier answers; what a request is to earlier
ones, from Airflow's history (:mod:`tests.support.request_judge`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import note

from langgraph_worker.domain.models import RunStatus
from langgraph_worker.domain.retry_policy import Retried
from langgraph_worker.domain.spending import Spending
from tests.support.airflow_model import Airflow, Asked, Topic
from tests.support.asked_questions import Questions
from tests.support.machine_checkpoints import Kept
from tests.support.machine_database import MachineDatabase, Row
from tests.support.request_judge import Judge
from tests.support.scripted_graph import GraphRun, Write
from tests.support.world_checks import check_newest, check_result, check_writes
from workflow_events.results import WorkflowResultEvent

_MOMENT = 0.001  # seconds that everything takes
_T = TypeVar("_T")


@dataclass
class Hold:
    """A thread's holder. ``void``: its run was ended from outside, and it has not let go yet."""

    run: GraphRun
    until: float
    void: bool = False


class History:
    """One history of one database.

    :ivar runs: what workers have claimed and not let go of, owners or not; with the client that each works through.
    :ivar received: the reply that each waiter got.
    :ivar holds: the threads' holders; ``tokens``: the threads' last tokens.
    :ivar vanished: how often a run's owner vanished since its last checkpoint.
    :ivar retried: what a run has repeated since its last checkpoint.
    :ivar spent: what a logical run has spent, by lineage and generation.
    :ivar running: claimed and not given back.
    :ivar sent: the results of owners.
    :ivar places: lineage, generation, logical run, thread and graph of each group of the judge's.
    """

    def __init__(self, database: MachineDatabase) -> None:
        self.database = database
        self.clock = database.clock
        self.airflow = Airflow(self.clock)
        self.topic = Topic()
        self.questions = Questions()
        self.judge = Judge(self.questions)
        self.runs: list[tuple[int, GraphRun]] = []
        self.rows: dict[UUID, Row] = {}
        self.results: dict[UUID, WorkflowResultEvent] = {}
        self.received: dict[UUID, bytes] = {}
        self.writes: list[Write] = []
        self.holds: dict[str, Hold] = {}
        self.tokens: dict[str, int] = {}
        self.vanished: dict[UUID, int] = {}
        self.retried: dict[UUID, Retried] = {}
        self.spent: dict[tuple[str, int], Spending] = {}
        self.sent: dict[UUID, WorkflowResultEvent] = {}
        self.places: dict[int, tuple[object, ...]] = {}
        self.running: set[UUID] = set()
        self.replies: dict[UUID, bytes] = {}
        self.steps: set[tuple[str, str]] = set()
        self.kept = Kept()
        self._writers: dict[str, tuple[int, str, str]] = {}
        self._done: set[tuple[str, int]] = set()
        self._unseen = False  # whether something was written since the database was looked at

    # ---- requests ----

    def accept(self, client: int, batch: Sequence[Asked]) -> None:
        """Deliver a batch to a worker."""
        self.look()
        store = self.database.clients[client]
        accepted = self.do(store.accept([asked.request for asked in batch]))
        for asked, one in zip(batch, accepted, strict=True):
            note(f"  {asked}: {one.decision.value}, {one.detail}")
            assert one.correlation_id == asked.id
            self.judge.take(asked, one.decision)
        self.void(self.see())

    def publish(self, client: int, *, acknowledged: bool) -> int:
        """A worker publishes what it has to; whether the broker says so."""
        self.look()
        store = self.database.clients[client]
        outbound = self.do(store.unpublished(100))
        for out in outbound:
            assert out.value == self.replies[out.correlation_id], f"{out.correlation_id} is published otherwise"
            assert (out.dead_letter is not None) <= (self.results[out.correlation_id].error_type == "worker_lost")
            self.received.setdefault(out.correlation_id, out.value)
        if acknowledged:
            self.do(store.published([out.correlation_id for out in outbound]))
        return len(outbound)

    # ---- what is so ----

    def look(self) -> None:
        """Read the database if something was written since, and check what is new there."""
        if self._unseen:
            self.see()

    def wrote(self) -> None:
        """Something was written. To look at each write would take longer than to write it."""
        self._unseen = True

    def see(self) -> list[UUID]:
        """Read the database and check what is new there.

        :returns: the runs that have ended since.
        """
        self._unseen = False
        self.clock.advance(_MOMENT)
        seen = self.do(self.database.look(len(self.writes)))
        self.rows = {row["correlation_id"]: row for row in seen.runs}
        assert len(seen.runs) == len(self.rows)
        assert self.rows.keys() == self.judge.accepted.keys()
        assert seen.steps == self.steps
        check_writes(self._writers, self._done, seen.writes)
        self.kept.check(seen.checkpoints)
        self.writes += seen.writes
        ended = [of for of, row in self.rows.items() if row["finished_at"] is not None and of not in self.replies]
        for of, value in self.replies.items():
            assert self.rows[of]["reply_value"] == value, f"{of} is answered otherwise than before"
        for of in ended:
            row = self.rows[of]
            self.replies[of] = row["reply_value"]
            self.results[of] = WorkflowResultEvent.model_validate_json(row["reply_value"])
            note(f"  {str(of)[:6]} ended: {self.results[of].status.value} {self.results[of].error_type or ''}")
        for of in ended:
            check_result(self, self.judge.accepted[of], self.results[of])
            self.judge.ended(of, RunStatus(self.rows[of]["status"]))
            self.running.discard(of)
        check_newest(self)
        return ended

    def forget(self, gone: Mapping[UUID, Row]) -> None:
        """These runs were pruned."""
        self.steps = {step for step in self.steps if UUID(step[0]) not in gone}
        self.replies = {of: value for of, value in self.replies.items() if of not in gone}
        used = {row["thread_id"] for of, row in self.rows.items() if of not in gone}
        unused = {row["thread_id"] for row in gone.values()} - used
        self.kept.forget(unused)
        for thread in unused:
            self.tokens.pop(thread, None)
            self.holds.pop(thread, None)
            self._writers.pop(thread, None)
            self.runs = [(at, run) for at, run in self.runs if run.claim.thread_id != thread]

    def unfinished(self) -> list[Asked]:
        return [asked for of, asked in self.judge.accepted.items() if of not in self.results]

    def now(self) -> float:
        return self.clock.now.timestamp()

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.database.run(work)

    def do_all(self, works: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
        async def gathered() -> list[_T]:
            return list(await asyncio.gather(*works))

        return self.do(gathered())

    def void(self, ended: Sequence[UUID]) -> None:
        """They were ended while a worker held their threads."""
        for hold in self.holds.values():
            hold.void = hold.void or hold.run.id in ended

    def free(self, of: UUID) -> None:
        """Its thread has no holder any more."""
        self.holds = {name: hold for name, hold in self.holds.items() if hold.run.id != of}
