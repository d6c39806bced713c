"""A run's result as the bytes that its waiter will read: always encodable, never silently cut."""

from __future__ import annotations

from collections.abc import Callable

import pydantic_core

from workflow_events.codec import Encoded, encode
from workflow_events.errors import MessageTooLargeError
from workflow_events.results import ResultStatus, WorkflowResultEvent

RESULT_TOO_LARGE = "result_too_large"
RESULT_NOT_JSON = "result_not_json"

MIN_LIMIT = 16_384
"""Bytes that the barest answer may take, however low the limit: the names of a request alone may need half of them."""

MAX_TEXT = 2_000
"""Characters that are left of an error's text that does not fit."""

_BARE_TEXT = 200
_TEXTS = ("error", "error_type", "thread_id", "worker_id")


def encode_reply(result: WorkflowResultEvent, max_bytes: int) -> tuple[WorkflowResultEvent, Encoded]:
    """Encode a result; one that cannot be sent becomes an ``error`` result that can.

    :param max_bytes: limit for key, value and headers together; below :data:`MIN_LIMIT` it may be passed.
    :returns: the result that is really sent, and its bytes. ``error_type`` is ``result_too_large`` or
        ``result_not_json`` (text that is no Unicode, or nested deeper than JSON readers follow) where the result was
        replaced. Where only the error's text was too long, that is cut, and says so.
    """
    result = _with_texts(result, clean)
    try:
        return _checked(result, max_bytes)
    except MessageTooLargeError as error:
        substitute = _fitting(result, error)
    except ValueError as error:
        substitute = _replaced(result, RESULT_NOT_JSON, f"the result cannot be sent as JSON: {error}")
    substitute = _shortened(substitute, MAX_TEXT)
    try:
        return _checked(substitute, max_bytes)
    except (MessageTooLargeError, ValueError):
        bare = _shortened(substitute, _BARE_TEXT).model_copy(update={"usage": {}})
        return bare, encode(bare, max_bytes=max(max_bytes, MIN_LIMIT))


def clean(text: str) -> str:
    """The text without what JSON, SQLite or PostgreSQL refuse: lone surrogates and NUL become visible marks."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _checked(result: WorkflowResultEvent, max_bytes: int) -> tuple[WorkflowResultEvent, Encoded]:
    encoded = encode(result, max_bytes=max_bytes)
    # Writers nest deeper than readers follow, and a reply that its waiter cannot read leaves it waiting.
    pydantic_core.from_json(encoded.value)
    return result, encoded


def _fitting(result: WorkflowResultEvent, error: MessageTooLargeError) -> WorkflowResultEvent:
    only_text = result.result is None and not result.interrupts and result.error is not None
    return result if only_text else _replaced(result, RESULT_TOO_LARGE, str(error))


def _replaced(result: WorkflowResultEvent, error_type: str, text: str) -> WorkflowResultEvent:
    """An error in the place of the result; what the run took stays true."""
    update = {"status": ResultStatus.ERROR, "error": text, "error_type": error_type, "retriable": False}
    return result.model_copy(update=update | {"result": None, "interrupts": []})


def _shortened(result: WorkflowResultEvent, length: int) -> WorkflowResultEvent:
    def shorten(text: str) -> str:
        return text if len(text) <= length else f"{text[:length]} … ({len(text) - length:,} more characters)"

    return _with_texts(result, shorten)


def _with_texts(result: WorkflowResultEvent, change: Callable[[str], str]) -> WorkflowResultEvent:
    texts = {name: text for name in _TEXTS if (text := getattr(result, name)) is not None}
    return result.model_copy(update={name: change(text) for name, text in texts.items()})
