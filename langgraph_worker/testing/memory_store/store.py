"""The port in memory: the reference that the databases are compared with. Obvious rather than fast."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID, uuid4

from langgraph_worker.domain.accounts import Account, StoredCounts
from langgraph_worker.domain.faults import WORKER_LOST
from langgraph_worker.domain.model_turns import GivenTurn, TurnRequest
from langgraph_worker.domain.models import (
    Accepted,
    Backlog,
    Cancel,
    Cancelled,
    Claim,
    DeadLetter,
    Failure,
    FleetFigures,
    Lease,
    Outbound,
    Pruned,
    Refusal,
    Request,
    RunStatus,
    Step,
    WorkerInfo,
)
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.retry_policy import BackOff, Retried
from langgraph_worker.domain.spending import Spending
from langgraph_worker.errors import RowError, StoreError
from langgraph_worker.store.port import RunStore
from langgraph_worker.testing.memory_store import (
    accept,
    claims,
    control_writes,
    endings,
    model_turns,
    retention,
    run_writes,
    shared_spending,
)
from langgraph_worker.testing.memory_store.state import End, Publication, Run, State, Transaction
from workflow_events.codec import DEFAULT_MAX_BYTES
from workflow_events.models import Attempt
from workflow_events.results import WorkflowResultEvent

_T = TypeVar("_T")

if TYPE_CHECKING:
    from langgraph_worker.store.sql.run_writes import PutCheckpoint


class MemoryDatabase:
    """The database: several stores share it, and it stays when they are closed."""

    def __init__(self) -> None:
        self.state = State()
        self.guard = threading.Lock()


class MemoryRunStore(RunStore):
    """The port on a :class:`MemoryDatabase`. Each store stands for one worker process.

    A store that is closed without releasing its leases stands for a killed process; one that is opened again, or
    another one on the same database, for its successor.
    """

    def __init__(
        self,
        database: MemoryDatabase,
        clock: Callable[[], datetime],
        lease_seconds: float = 30.0,
        max_result_bytes: int = DEFAULT_MAX_BYTES,
        release: str | None = None,
        max_running: Mapping[str, int] | None = None,
    ) -> None:
        self._release = release
        self._max_running = dict(max_running or {})
        self.database = database
        self._clock = clock
        self._lease = timedelta(seconds=lease_seconds)
        self._max_bytes = max_result_bytes
        self._publisher = uuid4().hex
        self._handed: dict[UUID, int] = {}  # the publication that each result was first handed out for
        self._is_open = False

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        """All or nothing, one at a time, from any thread."""
        with self.database.guard:
            if not self._is_open:
                raise StoreError("the run store in memory is not open", retriable=False)
            draft = self.database.state.copy()
            try:
                yield Transaction(
                    draft,
                    self._clock(),
                    self._publisher,
                    self._max_bytes,
                    self._lease,
                    self._release,
                    self._max_running,
                )
            except StoreError:
                raise
            except Exception as error:
                raise RowError.caused_by(error, "in memory") from error
            self.database.state = draft

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False

    async def accept(self, batch: Sequence[Request | Refusal]) -> list[Accepted]:
        with self._transaction() as tx:
            return [accept.take(tx, item) for item in batch]

    async def claim(self, worker_id: str, limit: int, graphs: Collection[str]) -> list[Claim]:
        with self._transaction() as tx:
            return claims.claim(tx, worker_id, limit, graphs)

    async def cancel(self, cancels: Sequence[Cancel], keep: timedelta) -> dict[UUID, Cancelled]:
        with self._transaction() as tx:
            return control_writes.cancel(tx, cancels, keep)

    async def supersede(self, attempts: Sequence[Attempt]) -> int:
        with self._transaction() as tx:
            return control_writes.supersede(tx, attempts)

    async def publish_again(self, query_id: UUID, correlation_ids: Collection[UUID]) -> int:
        with self._transaction() as tx:
            return control_writes.publish_again(tx, query_id, correlation_ids)

    async def pause(self, changes: Collection[PauseChange]) -> list[PauseChange]:
        with self._transaction() as tx:
            return control_writes.pause(tx, changes)

    async def pauses(self) -> list[PauseChange]:
        with self._transaction() as tx:
            return [change for _, change in sorted(tx.state.pauses.items()) if change.is_on]

    def renew(self, worker_id: str, leases: Collection[Lease]) -> set[Lease]:
        with self._transaction() as tx:
            return run_writes.renew(tx, worker_id, leases)

    def spare(self, worker_id: str, leases: Collection[Lease]) -> None:
        with self._transaction() as tx:
            run_writes.spare(tx, worker_id, leases)

    async def remember_nodes(self, claim: Claim, nodes: Collection[str]) -> None:
        with self._transaction() as tx:
            run_writes.remember_nodes(tx, claim, nodes)

    async def put_checkpoint(self, write: PutCheckpoint) -> bool:
        """As the SQL store's; no checkpoint is kept, so the statements do not matter."""
        with self._transaction() as tx:
            return run_writes.put_checkpoint(tx, write)

    async def record(self, claim: Claim, steps: Sequence[Step], spent: Spending | None = None) -> None:
        with self._transaction() as tx:
            run_writes.record(tx, claim, steps, spent)

    def stored_counts(self, claim: Claim, accounts: Collection[Account]) -> Future[StoredCounts]:
        return self._at_once(lambda tx: shared_spending.stored_counts(tx, claim, accounts))

    async def finish(
        self, claim: Claim, result: WorkflowResultEvent, failure: Failure | None = None, *, keep_thread: bool = False
    ) -> bool:
        with self._transaction() as tx:
            return run_writes.finish(tx, claim, result, failure, keep_thread=keep_thread)

    def take_turns(self, asked: TurnRequest) -> Future[list[GivenTurn]]:
        return self._at_once(lambda tx: model_turns.take(tx, asked))

    def cool(self, model: str, seconds: float) -> Future[None]:
        return self._at_once(lambda tx: model_turns.cool(tx, model, seconds))

    def cooling(self) -> Future[Mapping[str, float]]:
        return self._at_once(model_turns.cooling)

    def _at_once(self, work: Callable[[Transaction], _T]) -> Future[_T]:
        found: Future[_T] = Future()
        with self._transaction() as tx:
            found.set_result(work(tx))
        return found

    async def release(
        self, claim: Claim, delay: float = 0.0, *, keep_thread: bool = False, retried: Retried | None = None
    ) -> bool:
        with self._transaction() as tx:
            return run_writes.release(tx, claim, timedelta(seconds=delay), keep_thread=keep_thread, retried=retried)

    async def back_off(self, claim: Claim, back_off: BackOff, failure: Failure, *, keep_thread: bool = False) -> bool:
        with self._transaction() as tx:
            return run_writes.back_off(tx, claim, back_off, failure, keep_thread=keep_thread)

    async def start_over(self, claim: Claim) -> bool:
        with self._transaction() as tx:
            return run_writes.start_over(tx, claim)

    async def is_taken_over(self, claim: Claim) -> bool:
        with self._transaction() as tx:
            run = tx.state.runs.get(claim.correlation_id)
            return run is not None and run.attempts > claim.attempts

    async def expire(self, known_graphs: Collection[str], graph_grace: float) -> int:
        with self._transaction() as tx:
            return endings.expire(tx, known_graphs, timedelta(seconds=graph_grace))

    async def unpublished(self, limit: int, skip: Collection[UUID] = frozenset()) -> list[Outbound]:
        with self._transaction() as tx:
            waiting = [(p, run, run.end) for run in tx.state.runs.values() if (p := run.publication) and run.end]
            mine = [
                (publication, run, end)
                for publication, run, end in waiting
                if publication.published_at is None
                and (publication.publisher == self._publisher or publication.adoptable_at <= tx.now)
            ]
            mine.sort(key=lambda one: (one[0].asked > 1, one[2].at, one[1].seq))
            unpublished = {run.correlation_id for publication, run, _ in waiting if publication.published_at is None}
            self._handed = {run: asked for run, asked in self._handed.items() if run in unpublished}
            mine = [one for one in mine if one[1].correlation_id not in skip]
            for publication, run, _ in mine[:limit]:
                self._handed.setdefault(run.correlation_id, publication.asked)
            return [_outbound(run, end, publication) for publication, run, end in mine[:limit]]

    async def published(self, correlation_ids: Collection[UUID]) -> None:
        with self._transaction() as tx:
            for correlation_id in correlation_ids:
                run = tx.state.runs.get(correlation_id)
                publication = run.publication if run else None
                asked = self._handed.pop(correlation_id, None)
                if run is None or publication is None or asked is None:
                    continue
                noted = replace(publication, first_at=publication.first_at or tx.now)
                tx.put(run, publication=replace(noted, published_at=tx.now) if asked == publication.asked else noted)

    async def announce(self, worker: WorkerInfo) -> None:
        with self._transaction() as tx:
            tx.state.workers[worker.worker_id] = (worker, tx.now)

    async def first_topic_id(self, cluster: str, topic: str, topic_id: str) -> str:
        with self._transaction() as tx:
            return tx.state.first_topics.setdefault((cluster, topic), topic_id)

    async def workers(self, within: float) -> list[WorkerInfo]:
        with self._transaction() as tx:
            since = tx.now - min(timedelta(seconds=within), endings.KEEP_WORKERS)
            return [worker for _, (worker, seen_at) in sorted(tx.state.workers.items()) if seen_at >= since]

    async def prune(self, older_than: timedelta, tombstones: timedelta, limit: int) -> Pruned:
        with self._transaction() as tx:
            return retention.prune(tx, older_than, tombstones, limit)

    async def can_start(self, correlation_ids: Collection[UUID], graphs: Collection[str]) -> set[UUID]:
        with self._transaction() as tx:
            return {run.correlation_id for run in claims.able_to_start(tx, graphs)} & set(correlation_ids)

    async def backlog(self) -> Mapping[tuple[str, str], Backlog]:
        with self._transaction() as tx:
            sizes: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
            for run in tx.unfinished():
                assert run.event is not None
                of_graph = sizes.setdefault((run.graph or "", run.placed.deployment or ""), ([], []))
                of_graph[run.is_answer].append(len(run.event.model_dump_json().encode()))
            return {
                place: Backlog(len(others), sum(others), len(answers), sum(answers))
                for place, (others, answers) in sizes.items()
            }

    async def fleet_figures(self) -> FleetFigures:
        with self._transaction() as tx:
            found = Counter((run.status, run.graph or "") for run in tx.unfinished())
            by_status = {
                status: {graph: count for (of, graph), count in found.items() if of is status}
                for status in (RunStatus.PENDING, RunStatus.RUNNING)
            }
            published = [run.publication for run in tx.state.runs.values() if run.publication]
            unpublished = sum(publication.published_at is None for publication in published)
            paused = sum(change.is_on for change in tx.state.pauses.values())
            return FleetFigures(by_status[RunStatus.PENDING], by_status[RunStatus.RUNNING], unpublished, paused)

    async def counts(self) -> Mapping[RunStatus, int]:
        with self._transaction() as tx:
            found = Counter(run.status for run in tx.state.runs.values())
            return {status: found[status] for status in RunStatus}


def _outbound(run: Run, end: End, publication: Publication) -> Outbound:
    dead_letter = None
    if end.result.error_type == WORKER_LOST.name and run.event is not None and publication.first_at is None:
        result = end.result
        dead_letter = DeadLetter(run.event, run.origin, WORKER_LOST.name, result.error or "", result.attempts)
    reply = end.reply
    return Outbound(
        run.correlation_id,
        run.reply_topic,
        reply.key,
        reply.value,
        list(reply.headers),
        dead_letter,
        is_repeat=publication.asked > 1,
    )
