"""What was taken means what its bytes say, and grants no power: judged by other code than the product's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from langchain_core.messages import RemoveMessage, convert_to_messages
from langgraph._internal._constants import RESERVED
from langgraph.channels.binop import _get_overwrite
from langgraph.pregel import Pregel

from langgraph_worker.execution.event_check import require_allowed, require_fitting
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.graphs.event_rights import EventRights
from tests.fuzz.hostile_values import SECRET
from tests.fuzz.reserved_names import OF_LANGGRAPH, OF_POWER, TAGS
from tests.fuzz.valid_events import MODEL
from tests.fuzz.wrong import require
from workflow_events.codec import Record
from workflow_events.models import WorkflowEvent

_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6})\d*)?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_TO_2200 = 7_258_118_400
_NAMES_A_PLACE = re.compile(r"field ['\"]|header schema-version|the headers |the body |the event is [\d,]+ bytes")
_RESERVED_NAMES = {name for name in RESERVED if name.startswith(("__", "checkpoint_"))}
_LONGEST_REFUSAL = 70_000  # it may quote a model's name, which is as long as configurable may be


def judge_reason(reason: str) -> None:
    """:raises Wrong: a refusal does not say which part of the message it is about."""
    require(_NAMES_A_PLACE.search(reason) is not None, f"it names no field: {reason}")


def judge_meaning(record: Record, event: WorkflowEvent) -> None:
    """Whether a taken event is the one that was written, down to its instants and its input.

    :raises Wrong: says what differs.
    """
    body = json.loads(record.value or b"")
    payload = body.get("payload") or {}
    require(_text(payload.get("data", {})) == _text(event.payload.data), "its input is another")
    require((payload.get("command") is None) == (event.payload.command is None), "its command is lost")
    require(_text(body.get("context")) == _text(event.context), "its context is another")
    require(body.get("assistant") == event.assistant, "its assistant is another")
    config = body.get("config") or {}
    require(_text(config.get("configurable") or {}) == _text(event.config.configurable), "its names are others")
    require(list(config.get("tags") or []) == event.config.tags, "its tags are others")
    answers = [answer.get("value") for answer in body.get("answers") or []]
    require(_text(answers) == _text([answer.value for answer in event.answers]), "its answers are others")
    attempt = body.get("attempt") or {}
    started = event.attempt.run_start if event.attempt else None
    judge_instant("timestamp", body.get("timestamp"), event.timestamp)
    judge_instant("attempt.run_start", attempt.get("run_start"), started)
    judge_instant("deadline", body.get("deadline"), event.deadline, brought_forward=True)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def judge_instant(name: str, written: Any, taken: datetime | None, *, brought_forward: bool = False) -> None:
    """Whether an instant is the one that was written, counted by hand: no library's calendar is asked.

    :raises Wrong: it is another, or lies outside of what the contract allows.
    """
    if taken is None:
        return
    now = (taken - _EPOCH) // timedelta(seconds=1)
    require(taken.utcoffset() == timedelta(0) and 0 <= now <= _SECONDS_TO_2200, f"{name} is {taken}")
    if not isinstance(written, str) or (found := _INSTANT.fullmatch(written)) is None:
        return
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    offset = 0 if found[8] is None else (int(found[9]) * 3_600 + int(found[10]) * 60) * (-1 if found[8] == "-" else 1)
    due = _days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset
    micro = int((found[7] or "0").ljust(6, "0"))
    same = (now, taken.microsecond) == (due, micro)
    require(same or (brought_forward and now < due), f"{name} was {written!r}, and is {taken}")


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of the Gregorian calendar (Howard Hinnant's days_from_civil)."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def judge_power(event: WorkflowEvent, graph: Pregel[Any]) -> bool:
    """Whether an event that passed may run, and if so, whether nothing in it is obeyed.

    :returns: whether it may.
    :raises Wrong: LangGraph, or LangChain, would obey a part of it; or it was refused without saying which part.
    """
    for tag in event.config.tags:
        require(tag not in TAGS and tag not in RESERVED, f"it sets the tag {tag}")
    named = {*event.config.configurable, *(event.context or {})}
    for name in named:
        require(name not in OF_LANGGRAPH and name not in _RESERVED_NAMES, f"it sets {name}")
    try:
        require_allowed(event, "echo", EventRights(), {MODEL})
        require_fitting(event, "echo", graph, EventRights())
    except RunFaultError as error:
        reason = str(error)
        judge_reason(reason)
        require(len(reason) <= _LONGEST_REFUSAL, f"its reason has {len(reason):,} characters")
        require(SECRET not in reason or "is not allowed here" in reason, f"it tells the secret: {reason}")
        return False
    inside = [part for part in _all([event.context, event.config.configurable]) if isinstance(part, dict)]
    for name in named.union(*inside):
        require(name not in OF_POWER, f"it sets {name}")
    require(event.payload.command is None, "it commands the graph")
    answers = [answer.value for answer in event.answers]
    for value in _all([event.payload.data, event.config.configurable, event.context, answers]):
        require(not _get_overwrite(value)[0], f"it overwrites: {str(value)[:300]}")
        require(not _removes(value), f"it removes messages: {str(value)[:300]}")
    return True


def _removes(value: Any) -> bool:
    if isinstance(value, list) and len(value) != 2:
        return False  # no message; those in it come by themselves
    try:
        return isinstance(convert_to_messages([value])[0], RemoveMessage)
    except Exception:  # noqa: BLE001 - LangChain says in many ways that it is no message
        return False


def _all(value: Any) -> Iterator[Any]:
    """All objects and arrays in a value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (dict, list)):
            yield one
            waiting += one.values() if isinstance(one, dict) else one
