"""Replies: always encodable, never silently cut."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from langgraph_worker.domain.reply_encoding import MAX_TEXT_CHARACTERS, MIN_LIMIT_BYTES, clean, encode_reply
from workflow_events.codec import Record, decode_result, encode
from workflow_events.results import Interrupt, ModelUsage, ResultStatus, WorkflowResultEvent

LIMIT = 20_000


def result(**changes: Any) -> WorkflowResultEvent:
    values: dict[str, Any] = {
        "correlation_id": UUID(int=1),
        "workflow_id": "dag",
        "workflow_run_id": "run",
        "status": ResultStatus.SUCCESS,
        "attempts": 2,
        "thread_id": "thread",
        "usage": {"m": ModelUsage(input_tokens=1)},
    }
    return WorkflowResultEvent(**values | changes)


def sent(original: WorkflowResultEvent, limit: int = LIMIT) -> WorkflowResultEvent:
    """The result that the waiter reads: the one that encoding returned."""
    event, encoded = encode_reply(original, limit)
    assert encoded.size <= max(limit, MIN_LIMIT_BYTES)
    assert decode_result(Record("results", 0, 0, encoded.value, encoded.headers, encoded.key)) == event
    return event


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


def test_what_fits_is_sent_as_it_is() -> None:
    original = result(result={"text": "é\x00"})
    assert encode_reply(original, LIMIT) == (original, encode(original))


def test_a_traceback_gives_way_to_the_errors_text() -> None:
    failed = result(status=ResultStatus.FAILURE, error="y" * 12_000, error_type="KeyError", traceback="t" * 7_000)
    assert sent(failed, 17_000) == failed.model_copy(update={"traceback": None})
    assert sent(failed, 40_000) == failed


def test_an_oversize_result_has_no_traceback() -> None:
    event = sent(result(result="x" * LIMIT, traceback="t"))
    assert (event.error_type, event.traceback) == ("result_too_large", None)


def test_a_traceback_is_cleaned_of_what_no_database_takes() -> None:
    assert sent(result(status=ResultStatus.FAILURE, error="e", traceback="a\0b")).traceback == "a\ufffdb"


@pytest.mark.parametrize(
    "big",
    [
        result(result="x" * LIMIT),
        result(status=ResultStatus.INTERRUPTED, interrupts=[Interrupt(id="i", value="x" * LIMIT)]),
        result(status=ResultStatus.INTERRUPTED, result="x" * LIMIT, interrupts=[Interrupt(id="i")]),
        result(result="x" * LIMIT, error="y" * LIMIT),
    ],
)
def test_an_oversize_result_becomes_an_error_that_names_size_limit_and_remedy(big: WorkflowResultEvent) -> None:
    event = sent(big)
    assert (event.status, event.error_type, event.retriable) == (ResultStatus.ERROR, "result_too_large", False)
    assert (event.result, event.interrupts) == (None, [])
    assert f"{encode(big, max_bytes=10**9).size:,} bytes, over the limit of {LIMIT:,}" in (event.error or "")
    assert "that LANGGRAPH_WORKER_MAX_MESSAGE_BYTES sets for this worker" in (event.error or "")
    assert "reference to large data" in (event.error or "")
    assert (event.attempts, event.usage, event.thread_id) == (2, big.usage, "thread")


def test_the_limit_is_exact() -> None:
    original = result(result="x" * 18_000)
    size = encode(original).size
    assert sent(original, size) == original
    assert sent(original, size - 1).error_type == "result_too_large"


def test_an_oversize_error_text_is_cut_and_says_so() -> None:
    event = sent(result(status=ResultStatus.FAILURE, error="x" * LIMIT, error_type="ValueError", retriable=True))
    assert (event.status, event.error_type, event.retriable) == (ResultStatus.FAILURE, "ValueError", True)
    assert event.error == "x" * MAX_TEXT_CHARACTERS + f" … ({LIMIT - MAX_TEXT_CHARACTERS:,} more characters)"
    assert event.usage


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, nested(230)])
def test_what_no_reader_takes_becomes_an_error(value: Any) -> None:
    event = sent(result(result=value))
    assert (event.status, event.error_type, event.retriable) == (ResultStatus.ERROR, "result_not_json", False)
    assert "cannot be sent as JSON" in (event.error or "")
    assert event.usage


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("\ud800", "result"),
        ({"log": ["fine", {"text": "a\udfffb"}]}, "result.log.1.text"),
        ({"log": [{"k\ud800": 1}]}, "result.log.0"),
        ({"x\ud800": {"y": "\ud800"}}, "result"),
    ],
)
def test_a_text_that_is_no_unicode_is_refused_for_good_with_its_place(value: Any, place: str) -> None:
    event = sent(result(result=value))
    assert (event.error_type, event.retriable) == ("result_not_json", False)
    assert f"field {place!r} has half of a surrogate pair, which is no text" in (event.error or "")


def test_so_is_one_in_a_question() -> None:
    asked = [Interrupt(id="one", value="fine"), Interrupt(id="two", value={"ask": "\udc00?"})]
    event = sent(result(status=ResultStatus.INTERRUPTED, interrupts=asked))
    assert "field 'interrupts.1.value.ask' has half" in (event.error or "")


def test_deep_but_readable_nesting_is_sent() -> None:
    assert sent(result(result=nested(150))).result == nested(150)


def test_texts_that_are_no_unicode_are_mended() -> None:
    event = sent(result(status=ResultStatus.FAILURE, error="bad \udc80 name\x00", error_type="OSError"))
    assert event.error == "bad ? name\ufffd"
    assert event.error_type == "OSError"


@pytest.mark.parametrize("limit", [1, MIN_LIMIT_BYTES])
def test_the_worst_that_can_come_is_still_answered(limit: int) -> None:
    awful = "\x01" * 50_000
    worst = result(
        workflow_id="\x01" * 512,
        workflow_run_id="\x01" * 512,
        status=ResultStatus.FAILURE,
        result=nested(240),
        error=awful,
        error_type=awful,
        thread_id=awful,
        worker_id=awful,
        usage={f"\ud800{number}": ModelUsage() for number in range(1_000)},
        interrupts=[Interrupt(id=awful, value=awful)],
    )
    event = sent(worst, limit)
    assert event.status is ResultStatus.ERROR
    assert event.usage == {}


def test_clean_leaves_good_text_alone() -> None:
    assert clean("naïve \U0001f600\n\t") == "naïve \U0001f600\n\t"
