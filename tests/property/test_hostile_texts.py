"""Text that something later refuses: what a graph makes of it is sent and kept, or refused for good with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_langgraph.exceptions import ResultRefusedError
from airflow_provider_langgraph.requests import outcome
from airflow_provider_langgraph.task_log.phrases import progress_line
from langgraph_worker.domain.json_values import capped
from langgraph_worker.domain.reply_encoding import encode_reply
from workflow_events import ProgressKind, WorkflowEvent, WorkflowProgressEvent, WorkflowResultEvent
from workflow_events.codec import Record, decode_event, decode_progress, decode_result, encode
from workflow_events.errors import EncodeError
from workflow_events.results import Interrupt, ResultStatus

PIECES = st.sampled_from(
    ["a", "\0", "\ud800", "\udfff", "\ud83d\ude00", "\uffff", "\x1b[2J", "\u2028", "\n", "\\u0000", "\u00e9"]
)
TEXTS = st.lists(PIECES, max_size=4).map("".join)
VALUES = st.recursive(
    TEXTS | st.none() | st.integers(-5, 5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
REQUEST = {"event_type": "workflow.triggered", "source": "airflow", "workflow_id": "d", "workflow_run_id": "r"}


def result(**fields: Any) -> WorkflowResultEvent:
    """As a worker builds one: a graph's texts are not validated again."""
    known = {"correlation_id": uuid4(), "workflow_id": "d", "workflow_run_id": "r", "status": ResultStatus.SUCCESS}
    return WorkflowResultEvent.model_validate(known).model_copy(update={"finished_at": datetime.now(UTC)} | fields)


def arrived(sent: WorkflowResultEvent) -> WorkflowResultEvent:
    """The result that its waiter reads."""
    _, encoded = encode_reply(sent, 1_000_000)
    encoded.value.decode()
    assert b"\0" not in encoded.value
    return decode_result(Record("results", 0, 0, encoded.value, encoded.headers, encoded.key))


def is_text(value: Any) -> bool:
    """Whether all of it is Unicode."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(VALUES)
def test_a_result_arrives_as_it_is_or_is_refused_for_good(value: Any) -> None:
    read = arrived(result(result=value))
    if is_text(value):
        assert (read.status, read.result) == (ResultStatus.SUCCESS, value)
    else:
        assert (read.status, read.error_type, read.retriable) == (ResultStatus.ERROR, "result_not_json", False)
        assert "field 'result" in (read.error or "")


@given(VALUES)
def test_what_a_task_returns_is_kept_by_airflow_or_refused_before_it_is_noted(value: Any) -> None:
    read = arrived(result(result=value if is_text(value) else "replaced"))
    noted: list[Any] = []
    original, outcome.note_returned = outcome.note_returned, noted.append
    try:
        returned = outcome.return_value(read, "json", {}, _Log())  # type: ignore[arg-type]
    except ResultRefusedError as error:
        assert noted == []
        assert not error.retriable
        assert "\0" not in str(error)
        assert "at result" in str(error)
    else:
        assert len(noted) == 1
        assert "\\u0000" not in json.dumps(returned).replace("\\\\", "")
    finally:
        outcome.note_returned = original


@given(VALUES)
def test_as_a_text_each_result_is_returned(value: Any) -> None:
    read = arrived(result(result=value if is_text(value) else "replaced"))
    text = outcome.value_of(read, "text")
    assert "\0" not in text
    assert json.loads(text) == read.result


@given(TEXTS, TEXTS, TEXTS)
def test_an_error_is_sent_with_visible_marks(text: str, kind: str, thread: str) -> None:
    read = arrived(result(status=ResultStatus.FAILURE, error=text, error_type=kind, thread_name=thread))
    for before, after in ((text, read.error), (kind, read.error_type), (thread, read.thread_name)):
        assert "\0" not in (after or "")
        assert is_text(after)
        if is_text(before):
            assert after == before.replace("\0", "\ufffd")


@given(VALUES)
def test_a_question_arrives_as_it_is_or_is_refused_for_good(value: Any) -> None:
    read = arrived(
        result(
            status=ResultStatus.INTERRUPTED,
            interrupts=[Interrupt(id="i", value="").model_copy(update={"value": value})],
        )
    )
    if is_text(value):
        assert read.interrupts[0].value == value
    else:
        assert (read.error_type, read.retriable) == ("result_not_json", False)
        assert "interrupts.0.value" in (read.error or "")


@given(VALUES)
def test_an_input_arrives_as_it_is_or_is_refused_with_its_place(value: Any) -> None:
    event = WorkflowEvent.model_validate(REQUEST)
    event = event.model_copy(update={"payload": event.payload.model_copy(update={"data": {"in": value}})})
    try:
        encoded = encode(event)
    except EncodeError as error:
        assert not is_text(value)
        assert "field 'payload.data.in" in str(error)
    else:
        read = decode_event(Record("events", 0, 0, encoded.value, encoded.headers, encoded.key))
        assert read.payload.data == {"in": value}


@given(VALUES)
def test_a_step_and_a_line_of_progress_never_fail(value: Any) -> None:
    kept = capped({"output": value}, 1_000)
    assert is_text(kept)
    message = WorkflowProgressEvent(
        correlation_id=uuid4(), workflow_id="d", workflow_run_id="r", kind=ProgressKind.CUSTOM, data=kept
    )
    encoded = encode(message)
    line = progress_line(decode_progress(Record("progress", 0, 0, encoded.value, encoded.headers, encoded.key)))
    assert line.words.isprintable()


class _Log:
    def info(self, *arguments: Any) -> None:
        pass
