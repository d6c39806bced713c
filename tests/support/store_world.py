"""The workers of a run store, in any order and at once; what the store answers them, compared with its history."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from hypothesis import note

from langgraph_worker.domain.faults import INTERRUPT_NOT_PENDING
from langgraph_worker.domain.models import Accepted, Decision, Failure, RunStatus, Step, StepStatus
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
from langgraph_worker.domain.spending import Spending
from langgraph_worker.errors import RowError
from langgraph_worker.store.sql.store_replies import left_behind
from tests.support.airflow_model import Asked
from tests.support.claim_checks import check_limits, check_turns
from tests.support.machine_database import Row
from tests.support.row_refusals import Change
from tests.support.run_store import LEASE
from tests.support.scripted_graph import GRAPHS, GraphRun, Put
from tests.support.store_history import History, Hold
from tests.support.world_checks import check_claim, check_pruned
from workflow_events.results import ResultStatus

GRACE = 60.0


class World(History):
    """A history, and what workers add to it.

    :ivar refused: the run whose row the database does not let change at the moment.
    """

    refused: UUID | None = None

    @contextmanager
    def refusing(self, run: UUID, change: Change) -> Iterator[None]:
        """One row does not change so until the block ends. Whatever is done meanwhile is done with all others."""
        note(f"  the database refuses the {change} of {str(run)[:6]}")
        self.refused = run
        with self.database.refusing(run, change):
            yield
        self.refused = None

    def trim(self, client: int) -> None:
        """A worker removes old checkpoints: where none holds the thread, all that it has to."""
        self.look()
        self.database.trim(client)
        self.see()
        self.kept.check_few(but=self.holds)

    def claim(self, client: int, worker: str, limit: int) -> list[GraphRun]:
        """A worker claims what it can get."""
        return self.claim_at_once([(client, worker, limit)])

    def claim_at_once(self, claimants: Sequence[tuple[int, str, int]]) -> list[GraphRun]:
        """Several do, at the same moment."""
        self.look()
        before, asked_at, until = dict(self.rows), self.now(), self.now() + LEASE
        held = {thread for thread, hold in self.holds.items() if hold.until > asked_at}
        all_claims = self.do_all(
            [self.database.clients[client].claim(worker, limit, list(GRAPHS)) for client, worker, limit in claimants]
        )
        for of in {claim.correlation_id for claims in all_claims for claim in claims} & self.running:
            self.vanished[of] = self.vanished.get(of, 0) + 1
        for of in self.see():
            self.free(of)
        taken = []
        for (client, _, limit), claims in zip(claimants, all_claims, strict=True):
            assert len(claims) <= limit
            for claim in claims:
                run = GraphRun(claim, self.database.mark)
                note(f"  {claim.worker_id} owns {str(run.id)[:6]} on {claim.thread_id[-6:]}, token {claim.lease.token}")
                check_claim(self, claim, before)
                self.holds[claim.thread_id] = Hold(run, until)
                self.tokens[claim.thread_id] = claim.lease.token
                self.running.add(run.id)
                self.runs.append((client, run))
                taken.append(run)
        check_limits(self, {run.claim.graph for run in taken}, asked_at)
        if len(claimants) == 1 and self.refused is None:
            check_turns(self, {run.id for run in taken}, before, held)
        return taken

    def is_paused(self, graph: str, workflow: str) -> bool:
        """Whether a pause holds a run back."""
        return False

    def owns(self, run: GraphRun) -> bool:
        """Whether a run's lease is good: no worker has taken its thread, and the run was not ended."""
        hold = self.holds.get(run.claim.thread_id)
        return hold is not None and hold.run is run and not hold.void

    def step(
        self, picked: Sequence[tuple[int, GraphRun]], end: ResultStatus | None = None, *, keep: bool = False
    ) -> None:
        """These do what they do next, in one transaction where they share a client; or they end so.

        :param keep: they keep their threads: a node is still at work.
        """
        if not all(run.turn for _, run in picked):
            self.look()
        self.do_all([self._advance(client, run, end, keep) for client, run in picked])
        self.wrote()

    def release(self, client: int, run: GraphRun, delay: float = 0.0, *, keep: bool = False) -> None:
        """A worker stops a run and gives it back; perhaps it keeps the thread."""
        self.do(self._release(client, run, delay, keep))
        self.wrote()

    def back_off(self, client: int, run: GraphRun, kind: ErrorClass, wait: float, *, keep: bool = False) -> None:
        """A run's graph has raised what is repeated after a wait."""
        before = run.claim.retried.after_progress if run.has_progressed else run.claim.retried
        retried = Retried({**before.times, kind: before.times.get(kind, 0) + 1}, before.step_seconds, before.model)
        note(f"  {run.claim.worker_id} lets {str(run.id)[:6]} back off: {retried}")
        if self.owns(run):
            self.running.discard(run.id)
            self.retried[run.id] = retried
        failure = Failure("Boom", "boom", "", "node", kind, None, wait)
        work = self.database.clients[client].back_off(
            run.claim, BackOff(kind, wait, retried), failure, keep_thread=keep
        )
        self.do(work)
        self._let_go(run, keep)
        self.wrote()

    def renew(self, client: int, worker: str) -> None:
        """A worker prolongs its leases, and hears which are lost."""
        mine = [run for at, run in self.runs if at == client and run.claim.worker_id == worker]
        lost = self.database.clients[client].renew(worker, [run.claim.lease for run in mine])
        assert lost == {run.claim.lease for run in mine if not self.owns(run)}
        for run in mine:
            if self.owns(run):
                self.holds[run.claim.thread_id].until = self.now() + LEASE
            else:
                run.lost = True

    def hang(self, client: int, guilty: GraphRun) -> None:
        """A node blocks its worker, which spares the other runs of it and ends; what it still writes comes late."""
        worker = guilty.claim.worker_id
        others = [run for at, run in self.runs if at == client and run.claim.worker_id == worker and run is not guilty]
        note(f"  {worker} hangs on {str(guilty.id)[:6]} and spares {len(others)}")
        self.database.clients[client].spare(worker, [run.claim.lease for run in others])
        for run in others:
            if self.owns(run):
                self.running.discard(run.id)
                self.holds[run.claim.thread_id].void = True
        self.wrote()

    def expire(self, client: int) -> None:
        """A worker ends what must not wait longer."""
        self.look()
        held = {hold.run.id for hold in self.holds.values() if hold.until > self.now()}
        late = {of for of, row in self.rows.items() if row["deadline"] and row["deadline"] <= self.clock.now}
        count = self.do(self.database.clients[client].expire(list(GRAPHS), GRACE))
        ended = self.see()
        assert len(ended) == count
        assert late - held - {self.refused} <= self.results.keys(), "what is late was left out"
        for of in ended:
            assert of not in held, f"{of} has an owner"
            self.free(of)

    def prune(self, client: int, limit: int) -> dict[UUID, Row]:
        """A worker forgets what has ended and is published. Who still writes on a thread that goes slept too long.

        :returns: the runs that are gone.
        """
        self.look()
        kept, tasks = self.database.prune(client, limit)
        gone = {of: row for of, row in self.rows.items() if of not in kept}
        note(f"  forgotten: {', '.join(str(of)[:6] for of in gone)}" if gone else "  nothing is forgotten")
        check_pruned(self, gone)
        left = {self.rows[of]["lineage"] for of in kept & self.rows.keys()}
        lost = {row["lineage"] for row in gone.values()} - left
        self.spent = {place: spent for place, spent in self.spent.items() if place[0] not in lost}
        self.judge.forget(gone, tasks)
        self.forget(gone)
        self.see()
        return gone

    def kill(self, client: int) -> None:
        """A worker's process dies; another takes its place. Where a lock proves the death, its leases are void."""
        self.database.kill(client)
        if self.database.shared:
            self.runs = [(at, run) for at, run in self.runs if at != client]
        else:
            self.holds.clear()

    # ---- at the same moment ----

    def accept_at_once(self, clients: Sequence[int], batch: Sequence[Asked]) -> None:
        """Deliver a batch to several workers at the same moment."""
        self.look()
        requests = [asked.request for asked in batch]
        accepted = self.do_all([self.database.clients[client].accept(requests) for client in clients])
        for asked, *answers in zip(batch, *accepted, strict=True):
            note(f"  {asked}: {', '.join(one.decision.value for one in answers)}")
            for one in sorted(answers, key=lambda one: one.decision is Decision.DUPLICATE):
                self.judge.take(asked, one.decision)
        self.see()

    def accept_while_it_ends(self, client: int, batch: Sequence[Asked], at: int, run: GraphRun) -> None:
        """Deliver a batch to one worker while another ends a run. Either comes first."""
        self.look()
        result = run.result(ResultStatus.FAILURE, error="boom", error_type="Boom")
        owns = self.owns(run)

        async def both() -> tuple[list[Accepted], bool]:
            accept = self.database.clients[client].accept([asked.request for asked in batch])
            return await asyncio.gather(accept, self.database.clients[at].finish(run.claim, result))

        accepted, kept = self.do(both())
        assert kept <= owns
        if kept:
            self.sent[run.id] = result
            self.judge.ended(run.id, RunStatus.FAILED)
        for asked, one in zip(batch, accepted, strict=True):
            note(f"  {asked}: {one.decision.value}, {one.detail}")
            self.judge.take(asked, one.decision)
        self._let_go(run)
        self.void(self.see())

    # ---- inside ----

    async def _advance(self, client: int, run: GraphRun, end: ResultStatus | None, keep: bool) -> None:
        if run.lost:
            await self._release(client, run, 0.0, keep)
            return
        store, owns = self.database.clients[client], self.owns(run)
        if not run.turn:
            run.begin([write for write in self.writes if write.thread == run.claim.thread_id])
            assert not owns or run.given == run.claim.answers, "answers to what the graph does not ask"
        todo = run.next() if end is None else run.result(end, error="boom", error_type="Boom")
        if isinstance(todo, Put):
            await self._put(client, run, todo, owns)
            return
        is_left = bool(todo.interrupts) and self.judge.is_left(run.claim.lineage, run.id)
        expected = left_behind(todo) if is_left else todo
        if owns:
            self.sent[run.id] = expected
        note(f"  {run.claim.worker_id} ends {str(run.id)[:6]}, token {run.claim.lease.token}: {todo.status.value}")
        try:
            ended = await store.finish(run.claim, todo, keep_thread=keep)
        except RowError:
            assert run.id == self.refused, f"{run.id} cannot be ended"
            self.sent.pop(run.id, None)
            return
        assert ended == owns, f"{run.id} had a {'good' if owns else 'void'} lease"
        self._let_go(run, keep)
        if not owns:
            return
        claim, group = run.claim, self.judge.group[run.id]
        if expected.interrupts:
            self.questions.ask(
                claim.thread_id, claim.lineage, group, claim.event, [one.id for one in expected.interrupts]
            )
        elif expected.error_type == INTERRUPT_NOT_PENDING.name:
            self.questions.give_up(claim.thread_id, group)

    async def _put(self, client: int, run: GraphRun, put: Put, owns: bool) -> None:
        store, write = self.database.clients[client], put.write
        note(f"  {write.worker} writes {write.kind} {write.place} of {str(run.id)[:6]}, token {write.token}")
        step_id = f"{write.turn}:{len(run.written)}"
        step = Step(step_id, "", write.kind, None, StepStatus.COMPLETED, self.clock.now)
        before = self.spent.get((run.claim.lineage, run.claim.generation), Spending())
        spent = replace(before, steps=before.steps + 1)
        _, written = await asyncio.gather(store.record(run.claim, [step], spent), store.put_checkpoint(put.checkpoint))
        assert written == owns, f"{run.id} had a {'good' if owns else 'void'} lease"
        if not written:
            run.lost = True
            return
        self.steps.add((str(run.id), step_id))
        self.spent[run.claim.lineage, run.claim.generation] = spent
        run.wrote(put)
        if put.id is not None:
            self.kept.wrote(write.thread, put.id)
        if put.checkpoint.progress:
            self.vanished[run.id] = 0
            self.retried[run.id] = run.claim.retried.after_progress
        if write.question is not None:
            lineage = self.judge.accepted[run.id].lineage
            self.questions.answered(write.thread, write.question, lineage, run.claim.answers[write.question])

    async def _release(self, client: int, run: GraphRun, delay: float, keep: bool) -> None:
        if self.owns(run):
            self.running.discard(run.id)
        await self.database.clients[client].release(run.claim, delay, keep_thread=keep)
        self._let_go(run, keep)

    def _let_go(self, run: GraphRun, keep: bool = False) -> None:
        hold = self.holds.get(run.claim.thread_id)
        if keep:
            run.lost = True
            if hold is not None and hold.run is run:
                hold.void = True
            return
        if hold is not None and hold.run is run:
            del self.holds[run.claim.thread_id]
        self.runs = [(at, one) for at, one in self.runs if one is not run]
