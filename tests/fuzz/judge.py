"""What must be true of each record: a request, or a refusal that names what is wrong; and the store's rows say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from langgraph_worker.domain.faults import FAULTS
from langgraph_worker.domain.models import Accepted, Decision, Refusal, Request, RunStatus
from langgraph_worker.intake.screening import Rejected, ScreeningRules
from tests.fuzz.hostile_values import SECRET
from tests.fuzz.meaning import judge_meaning, judge_reason
from tests.fuzz.mutator import Sample
from tests.fuzz.wrong import require
from workflow_events.codec import DEFAULT_MAX_BYTES, Record
from workflow_events.headers import correlation_id_of
from workflow_events.models import REQUESTS, WorkflowEvent
from workflow_events.results import ResultStatus, WorkflowResultEvent

LONGEST_REASON = 4_000
_FAULTS = {fault.name: fault for fault in FAULTS}
_SHOWS_A_VALUE = {"model_not_allowed", "reply_topic_not_allowed"}
"""Their reasons quote the name that the event chose, and a mutation may have put anything there."""

_WAITING = {Decision.FRESH, Decision.RESUMED, Decision.ANSWER}
_ENDED_AT_ONCE = {
    Decision.REFUSED: ({RunStatus.FAILED}, {ResultStatus.ERROR}),
    Decision.LATE: ({RunStatus.CANCELLED}, {ResultStatus.CANCELLED}),
    Decision.CANCELLED: ({RunStatus.CANCELLED}, {ResultStatus.CANCELLED}),
    Decision.ANSWERED: (
        {RunStatus.COMPLETED, RunStatus.INTERRUPTED},
        {ResultStatus.SUCCESS, ResultStatus.INTERRUPTED},
    ),
}


def judge(sample: Sample, record: Record, found: Request | Rejected, rules: ScreeningRules) -> None:
    """Whether one record's screening is sound.

    :raises Wrong: says how it is not.
    """
    if isinstance(found, Request):
        _judge_request(record, found, rules)
    else:
        _judge_rejected(record, found)
    if sample.is_untouched:
        fault = found.fault.name if isinstance(found, Rejected) else None
        require(
            fault == sample.fault, f"nobody changed it, and it is {fault or 'taken'}, not {sample.fault or 'taken'}"
        )


def _judge_request(record: Record, found: Request, rules: ScreeningRules) -> None:
    event = found.event
    require(event.event_type in REQUESTS, f"{event.event_type} runs")
    deadline = event.deadline
    require(deadline is not None and deadline.utcoffset() == timedelta(0), "it has no deadline in UTC")
    require(found.reply_topic in rules.reply_topics, f"it is answered on {found.reply_topic!r}")
    require(event.config.model is None or event.config.model in rules.models, "it chooses a model")
    require(bool(found.graph) or bool(event.answers), "it runs no graph")
    named = correlation_id_of(record.headers)
    require(named in (None, event.event_id), "its header names another")
    again = WorkflowEvent.model_validate_json(event.model_dump_json())
    require(again == event, "it reads differently once it was written")
    judge_meaning(record, event)


def _judge_rejected(record: Record, found: Rejected) -> None:
    fault, reason = found.fault, found.reason
    require(_FAULTS.get(fault.name) is fault and fault.dead_letter, f"{fault.name} is no fault of a dead letter")
    require(reason.startswith(f"{record.where}: ") and len(reason) > len(record.where) + 12, f"it says only: {reason}")
    judge_reason(reason)
    require("reading the event failed" not in reason, f"nobody foresaw it: {reason}")
    require(len(reason) <= LONGEST_REASON, f"its reason has {len(reason):,} characters")
    require(fault.name in _SHOWS_A_VALUE or SECRET not in reason, f"it tells the secret: {reason}")
    named = correlation_id_of(record.headers)
    if found.refusal is None:
        require(named is None, f"nobody answers {named}")
        return
    result = found.refusal.result
    require(named in (None, result.correlation_id), f"{result.correlation_id} is answered instead of {named}")
    require((result.error, result.error_type) == (reason, fault.name), "its waiter is told something else")
    require(result.status is ResultStatus.ERROR and result.retriable is False, "its waiter would try again")


def judge_accepted(
    entries: Sequence[Request | Refusal], accepted: Sequence[Accepted], rows: Mapping[UUID, Mapping[str, Any]]
) -> None:
    """Whether what a batch became fits the store's rows.

    :raises Wrong: says how it does not.
    """
    require(len(entries) == len(accepted), f"{len(entries)} entries became {len(accepted)}")
    seen: set[UUID] = set()
    for entry, became in zip(entries, accepted, strict=True):
        of = entry.event.event_id if isinstance(entry, Request) else entry.result.correlation_id
        require(became.correlation_id == of, f"{of} became {became.correlation_id}")
        if became.decision is Decision.DUPLICATE:
            require(of in rows or "pruned" in became.detail, f"{of} is a repeat of nothing")
            continue
        require(of not in seen, f"{of} was decided twice")
        seen.add(of)
        require(of in rows, f"{of} was {became.decision}, and has no row")
        _judge_row(entry, became, rows[of])


def _judge_row(entry: Request | Refusal, became: Accepted, row: Mapping[str, Any]) -> None:
    of, decision = became.correlation_id, became.decision
    require(row["decision"] == decision.value, f"{of} was {decision}, its row says {row['decision']}")
    place = (entry.origin.topic, entry.origin.partition, entry.origin.offset)
    require((row["topic"], row["partition"], row["offset"]) == place, f"{of} came from {place}")
    require(row["reply_topic"] == entry.reply_topic, f"{of} is answered on {row['reply_topic']}")
    if isinstance(entry, Request):
        require(WorkflowEvent.model_validate_json(row["event"]) == entry.event, f"{of} is kept as another event")
        require(row["deadline"] == entry.event.deadline, f"{of} has another deadline")
    else:
        require(decision is Decision.REFUSED and row["event"] is None, f"{of} was refused, and is {decision}")
    if decision in _WAITING:
        superseded = row["status"] == RunStatus.CANCELLED.value and row["error_type"] == "superseded"
        require(
            superseded or (row["status"] == RunStatus.PENDING.value and not row["finished_at"]), f"{of} does not wait"
        )
        if not superseded:
            return
    statuses, results = _ENDED_AT_ONCE[Decision.LATE if decision in _WAITING else decision]
    require(RunStatus(row["status"]) in statuses, f"{of} was {decision}, and is {row['status']}")
    _judge_reply(of, row, results)


def _judge_reply(of: UUID, row: Mapping[str, Any], allowed: set[ResultStatus]) -> None:
    require(row["finished_at"] is not None and row["reply_value"] is not None, f"{of} has ended without an answer")
    require(len(row["reply_value"]) <= DEFAULT_MAX_BYTES, f"the answer to {of} is too large to be sent")
    reply = WorkflowResultEvent.model_validate_json(row["reply_value"])
    require(reply.correlation_id == of and bytes(row["reply_key"]) == str(of).encode(), f"{of} got another's answer")
    require(reply.status in allowed, f"{of} is answered {reply.status}")
