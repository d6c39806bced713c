"""A batch of requests against what the store knows of them: decided in memory, in order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from langgraph_worker.attempts import Asked, Lineage, Seen, Verdict, Work, decide
from langgraph_worker.store import endings, questions
from langgraph_worker.store.endings import Terms
from langgraph_worker.store.port import Accepted, Decision, Refusal, Request, RunStatus
from langgraph_worker.store.questions import Asking
from langgraph_worker.store.schema import workflow_runs
from langgraph_worker.store.statements import Row
from langgraph_worker.store.tasks import attempt_columns, seen_in, seen_of, task_row
from workflow_events.identity import input_hash, lineage_key, logical_run_id, plain_lineage_key, thread_name
from workflow_events.models import Attempt, EventType, WorkflowEvent
from workflow_events.results import WorkflowResultEvent

_NOTHING: Row = {column.name: None for column in workflow_runs.c if column.name != "seq"}


def lineage_of(event: WorkflowEvent) -> str:
    """The key of the lineage that a request belongs to."""
    if event.attempt is None:
        return plain_lineage_key(event.event_id)
    return lineage_key(event.attempt.task, event.attempt.agent)


def correlation_of(item: Request | Refusal) -> UUID:
    """The id of the reply that a record is about."""
    return item.event.event_id if isinstance(item, Request) else item.result.correlation_id


class Book:
    """The rows that a batch meets, by key, and what it changes in them.

    :param runs: the batch's known runs, of each of its lineages the newest run and the one that asks what is pending
        (with ``reply_value`` where that can answer a retry), and the unfinished runs of its tasks.
    :param questions: by interrupt id, those that the batch answers.
    :param asking: the batch's lineages with a pending question, and who asks it.
    :param pruned: ids of the batch whose runs are only a tombstone any more.
    :param cancels: the cancels of the batch's requests that came before them.
    """

    def __init__(
        self,
        runs: Iterable[Row],
        tasks: Iterable[Row],
        lineages: Iterable[Row],
        questions: Mapping[str, Row],
        asking: Mapping[str, Asking],
        pruned: Collection[UUID],
        cancels: Mapping[UUID, Row],
        terms: Terms,
    ) -> None:
        self._runs: dict[UUID, Row] = {row["correlation_id"]: row for row in runs}
        self._tasks: dict[str, Row] = {row["task"]: row for row in tasks}
        self._lineages: dict[str, Row] = {row["lineage"]: row for row in lineages}
        self._questions = questions
        self._asking = dict(asking)
        self._pruned = pruned
        self._cancels = cancels
        self._terms = terms
        self._now = terms.now
        self.new_runs: dict[UUID, Row] = {}
        self.changed_tasks: dict[str, Row] = {}
        self.changed_lineages: dict[str, Row] = {}
        self.ended: dict[UUID, Row] = {}  # runs of before, superseded by the batch
        self.asked_again: set[UUID] = set()  # finished runs of before, to be published once more
        self.fresh: dict[str, int] = {}  # lineages that were left for a new generation
        self.withdrawn: dict[str, int] = {}  # generations whose questions nobody asks any more

    def take(self, item: Request | Refusal) -> Accepted:
        """Decide one item, and remember what follows from it."""
        correlation_id = correlation_of(item)
        if correlation_id in self._pruned:
            return Accepted(correlation_id, Decision.DUPLICATE, "it ended long ago, and its result was pruned")
        known = self._runs.get(correlation_id)
        if known is not None:
            return self._duplicate(known)
        if isinstance(item, Refusal):
            row = _blank(item, Decision.REFUSED, self._now)
            self._add(row | endings.ending(item.result, self._terms))
            return Accepted(correlation_id, Decision.REFUSED, item.result.error or "")
        return self._request(item)

    def _duplicate(self, known: Row) -> Accepted:
        correlation_id: UUID = known["correlation_id"]
        if known["finished_at"] is None:
            return Accepted(correlation_id, Decision.DUPLICATE, f"it is {known['status']}")
        if correlation_id not in self.new_runs:
            self.asked_again.add(correlation_id)
        return Accepted(correlation_id, Decision.DUPLICATE, f"it is {known['status']}, and is answered again")

    def _request(self, item: Request) -> Accepted:
        event, key = item.event, lineage_of(item.event)
        asked = _asked(item)
        verdict = decide(asked, self._newest(event.attempt), self._lineage(key, event.attempt))
        reason = verdict.reason
        if event.attempt is not None and verdict.newest:
            count = self._supersede(event.attempt)
            reason += f"; ends {count} older" if count else ""
        row = _requested(item, verdict, self._now)
        if verdict.decision is Decision.LATE:
            newest = self._tasks[row["task"]]["try_number"]
            row |= endings.ending(endings.superseded(row, newest, self._now), self._terms)
        elif verdict.decision is Decision.ANSWER:
            problem = questions.refusal(event.answers, self._questions, key) or self._other_graph(event)
            if problem:
                row |= {"decision": Decision.REFUSED.value}
                row |= endings.ending(endings.refused(row, problem, self._now), self._terms)
                self._add(row)
                return Accepted(event.event_id, Decision.REFUSED, problem)
            self._place_answer(row, asked.work, verdict, key, event)
        else:
            self._place(row, asked.work, verdict, key, event)
        cancel = self._cancels.get(event.event_id)
        if cancel is not None and row["finished_at"] is None:
            row |= {"decision": Decision.CANCELLED.value}
            result = endings.cancelled(row, cancel["reason"], cancel["requested_by"], self._now)
            row |= endings.ending(result, self._terms)
            reason += "; cancelled before it came"
        self._add(row)
        return Accepted(event.event_id, Decision(row["decision"]), reason)

    def _other_graph(self, event: WorkflowEvent) -> str | None:
        asked_by = self._questions[event.answers[0].interrupt_id]["graph"]
        if event.graph in (None, asked_by):
            return None
        return f"field 'graph': {event.graph!r} is answered, but {asked_by!r} asked. Leave the field out"

    def _newest(self, attempt: Attempt | None) -> Seen | None:
        row = self._tasks.get(attempt.task) if attempt else None
        return seen_in(row) if row else None

    def _lineage(self, key: str, attempt: Attempt | None) -> Lineage | None:
        row = self._lineages.get(key)
        if row is None or attempt is None:
            return None
        run = self._runs[row["newest"]]
        work = Work(row["graph"], row["shared_thread"], row["input_hash"])
        asking = self._asking.get(key)
        asks = asking is not None and asking.generation == row["generation"]
        return Lineage(row["generation"], work, seen_in(run), RunStatus(run["status"]), asks)

    def _supersede(self, attempt: Attempt) -> int:
        """End the unfinished runs of every older attempt; the arriving one is the newest now."""
        older = [
            row for row in self._runs.values() if row["task"] == attempt.task and row["finished_at"] is None
        ]  # none has this attempt's id: it was not the newest
        for row in older:
            row |= endings.ending(endings.superseded(row, attempt.try_number, self._now), self._terms)
            if row["correlation_id"] not in self.new_runs:
                self.ended[row["correlation_id"]] = row
        self._tasks[attempt.task] = self.changed_tasks[attempt.task] = task_row(attempt, self._now)
        return len(older)

    def _place(self, row: Row, work: Work, verdict: Verdict, key: str, event: WorkflowEvent) -> None:
        """Give the run its place in its lineage, and if it is answered, its answer."""
        attempt = event.attempt
        logical_run = logical_run_id(key, verdict.generation)
        thread = thread_name(work.graph, logical_run, event.thread_id, attempt.deployment if attempt else "")
        before = self._lineages.get(key)
        if verdict.decision is Decision.FRESH and before is not None:
            self._leave(key, verdict.generation)
        row |= {"lineage": key, "generation": verdict.generation, "logical_run": logical_run, "thread_id": thread}
        if verdict.decision is Decision.ANSWERED and event.event_id in self._cancels:
            self._withdraw(key, verdict.generation)
        elif verdict.decision is Decision.ANSWERED and before is not None:
            row |= endings.ending(self._readdressed(self._told(before), event), self._terms)
        self._lineages[key] = self.changed_lineages[key] = {
            "lineage": key,
            "task": attempt.task if attempt else None,
            "agent": attempt.agent if attempt else None,
            "generation": verdict.generation,
            "logical_run": logical_run,
            "graph": work.graph,
            "shared_thread": work.thread,
            "input_hash": work.input_hash,
            "nodes": None if verdict.decision is Decision.FRESH or before is None else before["nodes"],
            "newest": event.event_id,
            "updated_at": self._now,
        }

    def _place_answer(self, row: Row, work: Work, verdict: Verdict, key: str, event: WorkflowEvent) -> None:
        """It goes on with the run that asked, whoever answers."""
        question = self._questions[event.answers[0].interrupt_id]
        row |= {name: question[name] for name in ("lineage", "generation", "logical_run", "thread_id", "graph")}
        before = self._lineages.get(key)
        if before is not None and key == question["lineage"]:
            self._lineages[key] = self.changed_lineages[key] = before | {"newest": event.event_id}
            return
        attempt = event.attempt
        self._lineages[key] = self.changed_lineages[key] = {
            "lineage": key,
            "task": attempt.task if attempt else None,
            "agent": attempt.agent if attempt else None,
            "generation": verdict.generation,
            "logical_run": question["logical_run"],
            "graph": work.graph,
            "shared_thread": work.thread,
            "input_hash": work.input_hash,
            "nodes": None,
            "newest": event.event_id,
            "updated_at": self._now,
        }

    def _leave(self, key: str, generation: int) -> None:
        """A lineage goes on with this generation: what it asked before is not asked any more."""
        self.fresh[key] = generation
        for question in self._questions.values():
            if question["lineage"] == key and question["generation"] < generation:
                question["retired_at"] = question["retired_at"] or self._now

    def _withdraw(self, key: str, generation: int) -> None:
        """Whoever would be asked does not want to know any more."""
        self.withdrawn[key] = generation
        self._asking.pop(key, None)
        for question in self._questions.values():
            if (question["lineage"], question["generation"], question["answered_at"]) == (key, generation, None):
                question["retired_at"] = question["retired_at"] or self._now

    def _told(self, lineage: Row) -> UUID:
        """The run whose result answers a retry: another than the newest where an answer made the lineage ask on."""
        newest: UUID = lineage["newest"]
        if self._runs[newest]["status"] == RunStatus.INTERRUPTED.value:
            return self._asking[lineage["lineage"]].correlation_id
        return newest

    def _readdressed(self, answered_by: UUID, event: WorkflowEvent) -> WorkflowResultEvent:
        stored = WorkflowResultEvent.model_validate_json(self._runs[answered_by]["reply_value"])
        address = {
            "correlation_id": event.event_id,
            "workflow_id": event.workflow_id,
            "workflow_run_id": event.workflow_run_id,
        }
        return stored.model_copy(update=address)

    def _add(self, row: Row) -> None:
        self._runs[row["correlation_id"]] = self.new_runs[row["correlation_id"]] = row


def _asked(item: Request) -> Asked:
    event = item.event
    answers = event.event_type is EventType.WORKFLOW_RESUMED
    said: JsonValue = {answer.interrupt_id: answer.value for answer in event.answers} if answers else event.payload.data
    work = Work(item.graph, event.thread_id, input_hash(said))
    if event.attempt is None:
        return Asked(work, answers=answers)
    a = event.attempt
    return Asked(work, seen_of(a), a.returned, a.on_retry, a.on_clear, answers)


def _blank(item: Request | Refusal, decision: Decision, now: datetime) -> Row:
    """A new row with every column, as it is before anything happened to it."""
    said = item.event if isinstance(item, Request) else item.result
    return _NOTHING | {
        "correlation_id": correlation_of(item),
        "workflow_id": said.workflow_id,
        "workflow_run_id": said.workflow_run_id,
        "status": RunStatus.PENDING.value,
        "decision": decision.value,
        "round": 0,
        "cluster": item.origin.cluster,
        "topic": item.origin.topic,
        "partition": item.origin.partition,
        "offset": item.origin.offset,
        "reply_topic": item.reply_topic,
        "accepted_at": now,
        "waiting_since": now,
        "attempts": 0,
        "takeovers": 0,
        "publish_asked": 0,
    }


def _requested(item: Request, verdict: Verdict, now: datetime) -> Row:
    event = item.event
    body = event.model_dump_json()
    row = _blank(item, verdict.decision, now) | {
        "event": body,
        "event_bytes": len(body.encode()),
        "graph": item.graph,
        "deadline": event.deadline,
        "round": event.round,
    }
    return row | {"task": event.attempt.task, **attempt_columns(event.attempt)} if event.attempt else row
