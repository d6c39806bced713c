"""From a graph's state to JSON, and from what happened to the result that is stored and sent."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any

import pydantic_core
from pydantic import BaseModel, JsonValue, ValidationError

from langgraph_worker.errors import WorkerError
from langgraph_worker.faults import DEADLINE, Fault, can_retry_help
from langgraph_worker.store.port import Claim, Failure
from workflow_events.results import Interrupt, ModelUsage, ResultStatus, WorkflowResultEvent

_LONGEST_ERROR = 4_000  # characters of an error in a result
_LONGEST_KEPT = 65_536  # in workflow_errors: an exception may quote all of an input
_DETAILS = 100  # of a validation error
_DEEPEST = 64  # levels searched for the value that cannot be serialised


class NotSerializableError(WorkerError):
    """A value has no JSON form, or no form that a checkpoint can hold.

    :param path: where it is, such as ``report.figures[2]``; empty for the value itself.
    :param kind: its type.
    """

    def __init__(self, path: str, kind: str, reason: str = "") -> None:
        self.path = path
        self.kind = kind
        super().__init__(f"{path or 'the value itself'} is a {kind}{', ' + reason if reason else ''}")


def to_json(value: Any) -> JsonValue:
    """The JSON form of a state: messages, pydantic models, dataclasses, sets, dates and the like included.

    NaN and infinities become null, as in JavaScript and pandas: JSON has none, and one missing figure should not cost
    a whole run. bytes become URL-safe base64. Nothing else is replaced.

    :raises NotSerializableError: names the place and the type of the first value that has no JSON form.
    """
    try:
        return _jsonable(value)
    except _REFUSALS as error:
        raise _located(value, _jsonable, error) from None


def locate(value: Any, convert: Callable[[Any], object]) -> NotSerializableError | None:
    """What keeps ``convert`` from taking a value: the innermost part that it refuses; None if it takes it all."""
    try:
        convert(value)
    except _REFUSALS as error:
        return _located(value, convert, error)
    return None


_REFUSALS = (Exception,)  # a graph's own objects may raise anything when they are looked at


def _jsonable(value: Any) -> JsonValue:
    return pydantic_core.to_jsonable_python(  # type: ignore[no-any-return]
        value, serialize_unknown=False, bytes_mode="base64", inf_nan_mode="null"
    )


def _located(value: Any, convert: Callable[[Any], object], error: Exception) -> NotSerializableError:
    path, culprit = _culprit(value, convert)
    # Its type says it all for a leaf; what is circular or too deep looks innocent.
    reason = str(error) if isinstance(culprit, (dict, list, tuple, set, frozenset)) else ""
    return NotSerializableError(path, _type_name(culprit), reason)


def _culprit(value: Any, convert: Callable[[Any], object], path: str = "", depth: int = 0) -> tuple[str, Any]:
    if depth < _DEEPEST:
        for place, child in _children(value, path):
            try:
                convert(child)
            except _REFUSALS:
                return _culprit(child, convert, place, depth + 1)
    return path, value


def _children(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f"{path}.{key}".lstrip("."), child) for key, child in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(f"{path}[{index}]", child) for index, child in enumerate(value)]
    if isinstance(value, BaseModel):
        return [(f"{path}.{name}".lstrip("."), child) for name, child in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [(f"{path}.{item.name}".lstrip("."), getattr(value, item.name)) for item in fields(value)]
    return []


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def capped(value: Any, limit: int) -> JsonValue:
    """A value for the record: JSON of at most ``limit`` bytes, else a note of its size and how it begins. Never raises
    for what the value is: it only serves to look at.
    """
    try:
        text = pydantic_core.to_json(value, serialize_unknown=True, bytes_mode="base64", inf_nan_mode="null")
        if len(text) <= limit:
            return pydantic_core.from_json(text)  # type: ignore[no-any-return]
    except _REFUSALS:
        return {"not_json": _type_name(value)}
    return {"cut": True, "bytes": len(text), "begins": text[: limit // 2].decode("utf-8", "replace")}


def describe(error: BaseException) -> str:
    """An exception as a person reads it, cut where it quotes too much. A validation error names fields and rules, not
    values.
    """
    if isinstance(error, ValidationError):
        details = error.errors(include_url=False, include_input=False)
        lines = [f"{'.'.join(map(str, detail['loc'])) or 'input'}: {detail['msg']}" for detail in details[:_DETAILS]]
        if len(details) > _DETAILS:
            lines.append(f"and {len(details) - _DETAILS:,} more")
        return _kept(f"{error.title}: {'; '.join(lines)}")
    try:
        return _kept(str(error) or type(error).__name__)
    except Exception:  # noqa: BLE001 - an exception may fail to say what it is
        return f"{type(error).__name__}, which has no text"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the result to store, and the error context if there was an error."""

    result: WorkflowResultEvent
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Reporter:
    """Builds the outcome of one run.

    :param started_at: when this worker started it, UTC.
    """

    claim: Claim
    worker_id: str
    started_at: datetime
    usage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def success(self, state: JsonValue, finished_at: datetime) -> Outcome:
        """The graph came to its end."""
        return Outcome(self._result(ResultStatus.SUCCESS, finished_at, result=state))

    def interrupted(self, state: JsonValue, interrupts: Sequence[Interrupt], finished_at: datetime) -> Outcome:
        """The graph waits for a person."""
        return Outcome(self._result(ResultStatus.INTERRUPTED, finished_at, result=state, interrupts=list(interrupts)))

    def fault(self, fault: Fault, text: str, finished_at: datetime, error: BaseException | None = None) -> Outcome:
        """The worker says what went wrong."""
        result = self._result(
            fault.status, finished_at, error=_cut(text), error_type=fault.name, retriable=fault.retriable
        )
        return Outcome(result, Failure(fault.name, text, _traceback(error)))

    def past_deadline(self, finished_at: datetime) -> Outcome:
        """The deadline passed."""
        at = self.claim.event.deadline
        text = f"the deadline {at.isoformat(timespec='seconds') if at else ''} passed while the graph was running"
        return self.fault(DEADLINE, text, finished_at)

    def raised(self, error: BaseException, node: str | None, finished_at: datetime) -> Outcome:
        """The graph raised."""
        kind = type(error).__name__
        text = f"{f'node {node!r}: ' if node else ''}{kind}: {describe(error)}"
        result = self._result(
            ResultStatus.FAILURE,
            finished_at,
            error=_cut(text),
            error_type=kind,
            retriable=can_retry_help(error),
        )
        return Outcome(result, Failure(kind, text, _traceback(error), node))

    def _result(self, status: ResultStatus, finished_at: datetime, **rest: Any) -> WorkflowResultEvent:
        event = self.claim.event
        return WorkflowResultEvent(
            correlation_id=event.event_id,
            workflow_id=event.workflow_id,
            workflow_run_id=event.workflow_run_id,
            status=status,
            thread_id=self.claim.thread_id,
            usage={model: _usage(tokens) for model, tokens in self.usage.items()},
            attempts=self.claim.attempts,
            started_at=self.started_at,
            finished_at=finished_at,
            worker_id=self.worker_id,
            **rest,
        )


def _usage(tokens: Mapping[str, Any]) -> ModelUsage:
    return ModelUsage(**{name: max(0, int(tokens.get(name) or 0)) for name in ModelUsage.model_fields})


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_ERROR:
        return text
    return f"{text[:_LONGEST_ERROR]} ... ({len(text) - _LONGEST_ERROR:,} more characters in the run store)"


def _kept(text: str) -> str:
    return text if len(text) <= _LONGEST_KEPT else f"{text[:_LONGEST_KEPT]} ... ({len(text):,} characters in all)"


def _traceback(error: BaseException | None) -> str:
    """Its end says most: where it was raised, and what."""
    text = "" if error is None else "".join(traceback.format_exception(error))
    return text if len(text) <= 2 * _LONGEST_KEPT else f"{text[:_LONGEST_KEPT]}\n...\n{text[-_LONGEST_KEPT:]}"
