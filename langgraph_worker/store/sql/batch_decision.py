"""Decides a batch of requests in memory, in order, from what the store knows of them. Finds the duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from langgraph_worker.domain.answer_choices import with_choices_of
from langgraph_worker.domain.attempts import AttemptKey, IncomingRequest, Lineage, Verdict, WorkKey, decide
from langgraph_worker.domain.models import Accepted, Decision, Refusal, Request, RunStatus
from langgraph_worker.store.sql import endings, store_replies
from langgraph_worker.store.sql.answer_matching import RelatedRuns
from langgraph_worker.store.sql.batch_questions import BatchQuestions
from langgraph_worker.store.sql.endings import EndingContext
from langgraph_worker.store.sql.new_run import new_run
from langgraph_worker.store.sql.placing import place_answer, place_request
from langgraph_worker.store.sql.questions import AskingRun
from langgraph_worker.store.sql.rows import CancelRow, GraphQuestion, LineageRow, QuestionRow, TaskRow
from langgraph_worker.store.sql.run_rows import RunEnding, RunRow
from langgraph_worker.store.sql.thread_ids import ThreadIds
from workflow_events.identity import lineage_of, work_hash
from workflow_events.log_words import counted
from workflow_events.models import Attempt, EventType, WorkflowEvent
from workflow_events.results import WorkflowResultEvent


def correlation_of(item: Request | Refusal) -> UUID:
    """The correlation id of a request or a refusal."""
    return item.event.event_id if isinstance(item, Request) else item.result.correlation_id


@dataclass(frozen=True, slots=True)
class KnownRows:
    """The rows that a batch meets, by key.

    :param runs: the batch's known runs, and those that its answers name in ``answers_to``; of each of its lineages the
        newest run and the one that asks what is pending (with ``reply_value`` where that can answer a retry); and the
        unfinished runs of its tasks.
    :param questions: all with the ids that the batch answers.
    :param asking: by lineage, for the batch's lineages with a pending question, the run that asks it.
    :param current: by lineage, what is pending where the batch answers.
    :param pruned: ids of the batch whose runs have only a tombstone left.
    :param thread_ids: names the threads of the batch.
    :param cancels: the cancels of the batch's requests that came before them.
    """

    runs: Mapping[UUID, RunRow]
    tasks: Mapping[str, TaskRow]
    lineages: Mapping[str, LineageRow]
    questions: Collection[GraphQuestion]
    asking: Mapping[str, AskingRun]
    current: Mapping[str, Sequence[QuestionRow]]
    pruned: Collection[UUID]
    cancels: Mapping[UUID, CancelRow]
    thread_ids: ThreadIds


@dataclass(frozen=True, slots=True)
class BatchChanges:
    """What a batch changes in the store.

    :param ended: endings of runs that were there before the batch, which supersedes them.
    :param published_again: finished runs that were there before the batch, to be published once more.
    :param fresh: by lineage, the generation that it was started afresh with.
    :param withdrawn: by lineage, the generation whose questions are withdrawn.
    """

    new_runs: dict[UUID, RunRow] = field(default_factory=dict)
    tasks: dict[str, TaskRow] = field(default_factory=dict)
    lineages: dict[str, LineageRow] = field(default_factory=dict)
    ended: dict[UUID, RunEnding] = field(default_factory=dict)
    published_again: set[UUID] = field(default_factory=set)
    fresh: dict[str, int] = field(default_factory=dict)
    withdrawn: dict[str, int] = field(default_factory=dict)


class BatchDecision:
    """Decides a batch, item by item: each one meets what those before it have changed.

    A newer attempt ends older runs in :meth:`_supersede`; one that is announced on the control topic ends them in
    ``control_writes.supersede``. A replay ends those of its origin in :meth:`_replace`.

    :ivar changes: what follows from the items decided so far.
    """

    def __init__(self, known: KnownRows, context: EndingContext) -> None:
        self._runs = dict(known.runs)
        self._runs_by_task: defaultdict[str, list[UUID]] = defaultdict(list)
        for row in known.runs.values():
            if row.task is not None:
                self._runs_by_task[row.task].append(row.correlation_id)
        self._tasks = dict(known.tasks)
        self._lineages = dict(known.lineages)
        self._questions = BatchQuestions(known.questions, known.asking, known.current)
        self._pruned = known.pruned
        self._cancels = known.cancels
        self._thread_ids = known.thread_ids
        self._context = context
        self._now = context.now
        self.changes = BatchChanges()

    def take(self, item: Request | Refusal) -> Accepted:
        """Decide one item, and keep what follows from it."""
        correlation_id = correlation_of(item)
        if correlation_id in self._pruned:
            return Accepted(correlation_id, Decision.DUPLICATE, "it ended long ago, and its result was pruned")
        known = self._runs.get(correlation_id)
        if known is not None:
            return self._duplicate(known)
        if isinstance(item, Refusal):
            self._add(new_run(item, Decision.REFUSED, self._now).ended(endings.ending(item.result, self._context)))
            return Accepted(correlation_id, Decision.REFUSED, item.result.error or "")
        return self._request(item)

    def _duplicate(self, known: RunRow) -> Accepted:
        correlation_id, graph = known.correlation_id, known.graph or ""
        if known.finished_at is None:
            return Accepted(correlation_id, Decision.DUPLICATE, f"it is {known.status}", graph)
        if correlation_id not in self.changes.new_runs:
            self.changes.published_again.add(correlation_id)
        return Accepted(correlation_id, Decision.DUPLICATE, f"it is {known.status}, and is answered again", graph)

    def _request(self, item: Request) -> Accepted:
        event, lineage = item.event, lineage_of(item.event)
        incoming = _incoming(item)
        verdict = decide(incoming, self._newest(event.attempt), self._lineage(lineage, incoming))
        reason = verdict.reason
        if event.attempt is not None and verdict.is_newest:
            count = self._supersede(event.attempt)
            reason += f"; ends {counted(count, 'older run')} of the task" if count else ""
        elif incoming.attempt is not None and verdict.is_replay:
            self._replace(incoming.attempt, event.attempt, lineage)
        if verdict.decision is Decision.LATE:
            row = self._late(item, lineage, verdict)
        elif verdict.decision is Decision.ANSWER:
            match = self._questions.match(event, lineage, self._related(event, lineage, verdict))
            if match.problem:
                return self._refuse(item, match.problem)
            row = self._answer(item, lineage, incoming.work, verdict, match.questions)
        else:
            row = self._place(item, lineage, incoming.work, verdict)
        cancel = self._cancels.get(event.event_id)
        if cancel is not None and row.finished_at is None:
            row = self._cancelled(row, cancel)
            reason += "; cancelled before it came"
        self._add(row)
        return Accepted(event.event_id, Decision(row.decision), reason, row.graph or "")

    def _newest(self, attempt: Attempt | None) -> AttemptKey | None:
        row = self._tasks.get(attempt.task) if attempt else None
        return row.newest if row else None

    def _lineage(self, key: str, incoming: IncomingRequest) -> Lineage | None:
        row = self._lineages.get(key)
        if row is None or incoming.attempt is None:
            return None
        run = self._runs[row.newest]
        newest = run.attempt or AttemptKey.of_plain(run.replay or 0)
        is_asking = self._questions.is_asking(key, row.generation)
        return Lineage(row.generation, row.work, newest, RunStatus(run.status), is_asking)

    def _related(self, event: WorkflowEvent, lineage: str, verdict: Verdict) -> RelatedRuns:
        repeated = self._runs[self._lineages[lineage].newest] if verdict.repeats else None
        return RelatedRuns(repeated, self._runs.get(event.answers_to) if event.answers_to else None)

    def _supersede(self, attempt: Attempt) -> int:
        """End the unfinished runs of every older attempt; the arriving one is the newest now."""
        older = self._unfinished(attempt.task)  # none has this attempt's id: it was not the newest
        for row in older:
            self._end(row, store_replies.superseded(row, attempt.try_number, self._now))
        self._tasks[attempt.task] = self.changes.tasks[attempt.task] = TaskRow.from_attempt(attempt, self._now)
        return len(older)

    def _replace(self, replay: AttemptKey, attempt: Attempt | None, lineage: str) -> None:
        """End what the lineage has unfinished of the attempt, or of the plain request, that is replayed."""
        newest = self._runs[self._lineages[lineage].newest]  # an answer is in the lineage that it answers
        replayed = [newest] if newest.finished_at is None else []
        if attempt is not None:
            unfinished = [row for row in self._unfinished(attempt.task) if row.attempt_id == attempt.id]
            replayed = [row for row in unfinished if row.lineage == lineage or row is newest]
        for row in replayed:
            self._end(row, store_replies.replayed(row, replay.replay, self._now))

    def _unfinished(self, task: str) -> list[RunRow]:
        runs = [self._runs[name] for name in self._runs_by_task.get(task, ())]
        return [row for row in runs if row.finished_at is None]

    def _end(self, row: RunRow, result: WorkflowResultEvent) -> None:
        ending = endings.ending(result, self._context)
        self._runs[row.correlation_id] = row.ended(ending)
        if row.correlation_id in self.changes.new_runs:
            self.changes.new_runs[row.correlation_id] = row.ended(ending)
        else:
            self.changes.ended[row.correlation_id] = ending

    def _late(self, item: Request, lineage: str, verdict: Verdict) -> RunRow:
        row = new_run(item, verdict.decision, self._now)
        newest = self._tasks[row.task] if row.task is not None else None
        if newest is None or newest.attempt_id == row.attempt_id:
            replay = self._runs[self._lineages[lineage].newest].replay or 0
            return row.ended(endings.ending(store_replies.replayed(row, replay, self._now), self._context))
        result = store_replies.superseded(row, newest.try_number, self._now)
        return row.ended(endings.ending(result, self._context))

    def _refuse(self, item: Request, problem: str) -> Accepted:
        row = new_run(item, Decision.REFUSED, self._now)
        self._add(row.ended(endings.ending(store_replies.refused(row, problem, self._now), self._context)))
        return Accepted(row.correlation_id, Decision.REFUSED, problem)

    def _cancelled(self, row: RunRow, cancel: CancelRow) -> RunRow:
        result = store_replies.cancelled(row, cancel.reason, cancel.requested_by, self._now)
        return replace(row.ended(endings.ending(result, self._context)), decision=Decision.CANCELLED.value)

    def _place(self, item: Request, lineage: str, work: WorkKey, verdict: Verdict) -> RunRow:
        """Give a request its place in its lineage, and its answer if the store has it."""
        event, before = item.event, self._lineages.get(lineage)
        thread_ids, trace = self._thread_ids, item.traceparent
        placement, changed = place_request(event, lineage, work, verdict, before, thread_ids, self._now, trace)
        if verdict.decision is Decision.FRESH and before is not None:
            self.changes.fresh[lineage] = verdict.generation
            self._questions.retire_before(lineage, verdict.generation, self._now)
        row = new_run(item, verdict.decision, self._now, placement)
        if event.answers and before is not None:  # a repeat of answers that led to success: it belongs where they do
            row = _placed_like(self._runs[before.newest], row)
        if verdict.decision is Decision.ANSWERED and event.event_id in self._cancels:
            self.changes.withdrawn[lineage] = verdict.generation
            self._questions.withdraw(lineage, verdict.generation, self._now)
        elif verdict.decision is Decision.ANSWERED and before is not None:
            row = row.ended(endings.ending(self._stored_answer(before, event), self._context))
        self._lineages[lineage] = self.changes.lineages[lineage] = changed
        return row

    def _answer(
        self, item: Request, lineage: str, work: WorkKey, verdict: Verdict, answered: Mapping[str, GraphQuestion]
    ) -> RunRow:
        """Give an answer the place of the run that asked, and its choices; keep which askings it was given to."""
        question, before = answered[item.event.answers[0].interrupt_id], self._lineages.get(lineage)
        event = item.event
        if question.event is not None:
            event = with_choices_of(event, WorkflowEvent.model_validate_json(question.event))
            item = replace(item, event=event)
        placement, changed = place_answer(event, lineage, question, work, verdict, before, self._now)
        self._lineages[lineage] = self.changes.lineages[lineage] = changed
        row = new_run(item, verdict.decision, self._now, placement)
        return replace(row, askings={name: one.number for name, one in answered.items()})

    def _stored_answer(self, lineage: LineageRow, event: WorkflowEvent) -> WorkflowResultEvent:
        """The stored result that answers a retry, addressed to it.

        It is the result of the lineage's newest run; or if that is INTERRUPTED, of the run that asks what is pending,
        which may be another one: an answer can make the lineage ask again.
        """
        source = lineage.newest
        if self._runs[source].status == RunStatus.INTERRUPTED.value:
            source = self._questions.asking_run(lineage.lineage)
        stored = WorkflowResultEvent.model_validate_json(self._runs[source].reply_value or b"")
        address = {
            "correlation_id": event.event_id,
            "workflow_id": event.workflow_id,
            "workflow_run_id": event.workflow_run_id,
        }
        return stored.model_copy(update=address)

    def _add(self, row: RunRow) -> None:
        self._runs[row.correlation_id] = self.changes.new_runs[row.correlation_id] = row
        if row.task is not None:
            self._runs_by_task[row.task].append(row.correlation_id)


def _placed_like(answering: RunRow, row: RunRow) -> RunRow:
    return replace(
        row,
        lineage=answering.lineage,
        generation=answering.generation,
        logical_run=answering.logical_run,
        thread_id=answering.thread_id,
        thread_name=answering.thread_name,
        graph=answering.graph,
        deployment=answering.deployment,
        askings=answering.askings,
    )


def _incoming(item: Request) -> IncomingRequest:
    event = item.event
    is_answer = event.event_type is EventType.WORKFLOW_RESUMED
    work = WorkKey(item.graph, event.thread_id, work_hash(event))
    attempt = event.attempt
    if attempt is None:
        return IncomingRequest(work, AttemptKey.from_event(event), is_answer=is_answer)
    return IncomingRequest(
        work,
        AttemptKey.from_attempt(attempt),
        returned=attempt.returned,
        on_retry=attempt.on_retry,
        on_clear=attempt.on_clear,
        is_answer=is_answer,
    )
