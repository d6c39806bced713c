"""Airflow's way of a record without Kafka: remembered, passed on by a trigger, decoded by its task, and returned."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import msgspec
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.comms import SetXCom, _RequestFrame
from airflow.sdk.serde import deserialize
from confluent_kafka import Message

from airflow_provider_langgraph.exceptions import LangGraphError, ResultRefusedError, RunError
from airflow_provider_langgraph.kafka.topic_reader import LONGEST_HEADER_BYTES, addressed, record_of
from airflow_provider_langgraph.requests.cancel import Canceller
from airflow_provider_langgraph.requests.outcome import result_in, return_value
from airflow_provider_langgraph.requests.reply import Reply, reply_of
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.task_log.phrases import LONGEST_PART_CHARACTERS, progress_line
from airflow_provider_langgraph.waiting.result_cache import ResultCache
from tests.fuzz.hostile_values import SECRET
from tests.fuzz.meaning import judge_instant
from tests.fuzz.mutator import Sample
from tests.fuzz.reserved_names import OF_AIRFLOW
from tests.fuzz.wrong import require
from workflow_events.codec import Record, decode_progress
from workflow_events.errors import DecodeError

_NAMES_A_PLACE = re.compile(
    r"the reply at \S+ cannot be|field ['\"]"
    r"|: the body |: the headers |header schema-version|at result|\(status "
)
_LONGEST_ESCAPE = len("\\U0010ffff")
_FORMATS: tuple[ResultFormat, ...] = ("json", "json", "text")
_LOG = logging.getLogger("tests.fuzz.airflow_side")
_LOG.disabled = True


@dataclass(frozen=True)
class _Delivered:
    """A record as confluent-kafka delivers it."""

    sample: Sample

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        if not self.sample.is_named_in_text:
            raise SystemError("returned a result with an exception set")
        return list(self.sample.headers) or None

    def topic(self) -> str:
        return "results"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.sample.number

    def value(self) -> bytes | None:
        return self.sample.value


class _Asks(Canceller):
    """Cancels nothing."""

    def __init__(self) -> None:
        super().__init__(lambda _: NotImplemented, _LOG)

    def cancel(self, correlation_id: UUID, reason: str) -> None:
        """Nobody runs."""


@dataclass
class AirflowSide:
    """One triggerer and its tasks, and what has become of all that they were given."""

    became: Counter[str] = field(default_factory=Counter)
    _cache: ResultCache = field(default_factory=lambda: ResultCache(max_bytes=4 * 2**20))

    def take(self, samples: Sequence[Sample]) -> None:
        """Take records of the results and the progress topic.

        :raises Wrong: something is not as it must be.
        """
        for sample in samples:
            self.became[self._take(sample)] += 1
        self._cache.trim()

    def _take(self, sample: Sample) -> str:
        message = cast(Message, _Delivered(sample))
        found = addressed(message)
        if found is None:
            return "a record for nobody"
        key, headers = found
        kept = sum(len(value or b"") for _, value in headers)
        require(len(headers) <= 2 and kept <= 2 * LONGEST_HEADER_BYTES, "a record's headers are kept")
        self._cache.add(key, 0, sample.number, sample.value, headers)
        if not _is_id(key):
            return "a record for nobody"
        record = record_of(message, headers, "fuzz")
        if sample.recipe[0] == "reporting":
            return _report(record)
        return _answer(record, UUID(key.decode()), _FORMATS[sample.number % len(_FORMATS)])


def _is_id(key: bytes) -> bool:
    """Whether a task may wait for it: keys are compared byte for byte with ids as Python writes them."""
    try:
        return str(UUID(key.decode())).encode() == key
    except ValueError:
        return False


def _report(record: Record) -> str:
    try:
        message = decode_progress(record)
    except DecodeError as error:
        require(_NAMES_A_PLACE.search(str(error)) is not None, f"it names no field: {error}")
        return "a report that is dropped"
    line = progress_line(message)
    judge_instant("timestamp", _body(record).get("timestamp"), message.timestamp)
    longest = (LONGEST_PART_CHARACTERS + 1) * _LONGEST_ESCAPE
    require(line.words.isprintable() and line.worker_id.isprintable(), f"it is no line: {line.words!r}")
    require(max(len(line.words), len(line.worker_id)) <= longest, f"a line has {len(line.words):,} characters")
    return "a line in a task's log"


def _answer(record: Record, waits: UUID, result_format: ResultFormat) -> str:
    reply = reply_of(record, str(waits))
    _judge_reply(reply)
    noted: list[Any] = []
    context: Any = {"ti": _Task(waits), "task_state_store": _Store(noted)}
    try:
        result = result_in(json.loads(json.dumps(reply)), waits, _Asks())
        body = _body(record)
        judge_instant("started_at", body.get("started_at"), result.started_at)
        judge_instant("finished_at", body.get("finished_at"), result.finished_at)
        value = return_value(result, result_format, context, _LOG)
    except LangGraphError as error:
        _judge_error(error)
        require(not noted, "it has returned, and failed")
        return f"{type(error).__name__.removeprefix('Final')}"
    require(result.correlation_id == waits, f"{waits} got the answer of {result.correlation_id}")
    require(len(noted) == 1, "it has returned, and the next try does not know")
    _judge_returned(value, body.get("result"), result_format)
    return f"returned as {result_format}"


def _body(record: Record) -> dict[str, Any]:
    body = json.loads(record.value or b"")
    assert isinstance(body, dict)
    return body


def _judge_reply(reply: Reply) -> None:
    shown = repr(reply)
    require(shown.isprintable() and len(shown) < 1_000, f"it is logged as {shown[:2_000]!r}")
    require(SECRET not in shown, "the log tells the secret")
    require(all("\0" not in text for text in reply.values() if isinstance(text, str)), "no database takes it")


def _judge_error(error: LangGraphError) -> None:
    text = str(error)
    require(_NAMES_A_PLACE.search(text) is not None, f"it names no place: {text[:2_000]}")
    require(text.replace("\n    ", "").replace("\t", "").isprintable(), f"it writes lines of its own: {text[:2_000]!r}")
    if isinstance(error, ResultRefusedError):
        require(not error.retriable and "result_format='text'" in text, f"it names no remedy: {text[:2_000]}")
    if not isinstance(error, RunError) or isinstance(error, ResultRefusedError):
        require(SECRET not in text, f"it tells the secret: {text[:2_000]}")


def _judge_returned(value: Any, written: Any, result_format: ResultFormat) -> None:
    """Whether the next task gets what the worker sent: by Airflow's own code, over its message and its JSON."""
    meant = json.dumps(written, sort_keys=True)
    stored = BaseXCom.serialize_value(value, key="return_value", task_id="t", dag_id="d", run_id="r")
    sent = _RequestFrame(
        id=1, body=SetXCom(key="return_value", value=stored, dag_id="d", task_id="t", run_id="r").model_dump()
    ).as_bytes()
    arrived = msgspec.msgpack.decode(sent[4:])[1]["value"]
    column = json.dumps(arrived, allow_nan=False)
    require("\\u0000" not in column.replace("\\\\", ""), "no PostgreSQL stores it")
    pulled = deserialize(json.loads(column))
    if result_format == "text":
        require(isinstance(pulled, str), f"the text becomes a {type(pulled).__name__}")
        pulled = json.loads(pulled)
    else:
        require(not _holds_keys_of_airflow(value), "it returns keys of which Airflow makes objects")
    require(json.dumps(pulled, sort_keys=True) == meant, "the next task gets another value")


def _holds_keys_of_airflow(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if not one.keys().isdisjoint(OF_AIRFLOW):
                return True
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


@dataclass(frozen=True)
class _Task:
    id: UUID


@dataclass(frozen=True)
class _Store:
    """Airflow's state of a task: what it is given."""

    noted: list[Any]

    def set(self, key: str, value: Any, **_: Any) -> None:
        self.noted.append((key, value, datetime.now(UTC)))
