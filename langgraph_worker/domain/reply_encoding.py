"""Encode a run's result as the bytes that its waiter reads: this always succeeds, and never cuts silently."""

from __future__ import annotations

from collections.abc import Callable

import pydantic_core

from workflow_events.codec import Encoded, encode
from workflow_events.errors import MessageTooLargeError
from workflow_events.results import ResultStatus, WorkflowResultEvent

RESULT_TOO_LARGE = "result_too_large"
RESULT_NOT_JSON = "result_not_json"

MIN_LIMIT_BYTES = 16_384
"""What the shortest answer may take, however low the limit is: a request's names alone may need half of it."""

MAX_TEXT_CHARACTERS = 2_000
"""What is kept of an error's text that does not fit."""

_MIN_TEXT_CHARACTERS = 200
_LIMIT_SET_BY = (
    "that LANGGRAPH_WORKER_MAX_MESSAGE_BYTES sets for this worker; to raise it, raise max.message.bytes of the results "
    "topic first"
)
_TEXTS = ("error", "traceback", "error_type", "thread_id", "thread_name", "release", "worker_id")


def encode_reply(
    result: WorkflowResultEvent, max_bytes: int, traceparent: str | None = None
) -> tuple[WorkflowResultEvent, Encoded]:
    """Encode a result; one that cannot be sent becomes an ``error`` result that can.

    :param max_bytes: limit of key, value and headers together; one below :data:`MIN_LIMIT_BYTES` may be exceeded.
    :param traceparent: the trace context for its header.
    :returns: the result that is really sent, and its bytes. ``error_type`` is ``result_too_large`` or
        ``result_not_json`` (text that is no Unicode, or nested deeper than JSON readers follow) where the result was
        replaced. Where only the error's text was too long, its traceback is left out, then the text is cut,
        and says so.
    """
    result = _with_texts(result, clean)
    try:
        return _checked(result, max_bytes, traceparent)
    except MessageTooLargeError as error:
        if result.traceback is not None:
            return encode_reply(result.model_copy(update={"traceback": None}), max_bytes, traceparent)
        substitute = _fitting(result, error)
    except ValueError as error:
        substitute = _replaced(result, RESULT_NOT_JSON, f"the result cannot be sent as JSON: {error}")
    substitute = _shortened(substitute, MAX_TEXT_CHARACTERS)
    try:
        return _checked(substitute, max_bytes, traceparent)
    except (MessageTooLargeError, ValueError):
        bare = _shortened(substitute, _MIN_TEXT_CHARACTERS).model_copy(update={"usage": {}})
        return bare, encode(bare, max_bytes=max(max_bytes, MIN_LIMIT_BYTES), traceparent=traceparent)


def clean(text: str) -> str:
    """The text without what JSON, SQLite or PostgreSQL refuse: lone surrogates and NUL become visible marks."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _checked(
    result: WorkflowResultEvent, max_bytes: int, traceparent: str | None
) -> tuple[WorkflowResultEvent, Encoded]:
    encoded = encode(result, max_bytes=max_bytes, traceparent=traceparent, limit_set_by=_LIMIT_SET_BY)
    # JSON can be written with deeper nesting than it can be read with, and a reply that cannot be read never arrives.
    pydantic_core.from_json(encoded.value)
    return result, encoded


def _fitting(result: WorkflowResultEvent, error: MessageTooLargeError) -> WorkflowResultEvent:
    only_text = result.result is None and not result.interrupts and result.error is not None
    return result if only_text else _replaced(result, RESULT_TOO_LARGE, str(error))


def _replaced(result: WorkflowResultEvent, error_type: str, text: str) -> WorkflowResultEvent:
    """An error in the place of the result. The run's usage and times stay."""
    update = {"status": ResultStatus.ERROR, "error": text, "error_type": error_type, "retriable": False}
    return result.model_copy(update=update | {"result": None, "interrupts": []})


def _shortened(result: WorkflowResultEvent, characters: int) -> WorkflowResultEvent:
    def shorten(text: str) -> str:
        more = len(text) - characters
        return text if more <= 0 else f"{text[:characters]} … ({more:,} more characters)"

    return _with_texts(result, shorten)


def _with_texts(result: WorkflowResultEvent, change: Callable[[str], str]) -> WorkflowResultEvent:
    texts = {name: text for name in _TEXTS if (text := getattr(result, name)) is not None}
    return result.model_copy(update={name: change(text) for name, text in texts.items()})
