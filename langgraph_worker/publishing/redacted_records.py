"""The body of a record as it may be kept or shown: an event's JSON, or what came instead of it."""

from __future__ import annotations

from dataclasses import replace

import pydantic_core

from langgraph_worker.domain.redaction import Place, RedactionError, Redactor
from workflow_events.codec import Record
from workflow_events.headers import PROTOCOL, Headers


def redacted_body(redactor: Redactor, place: Place, value: bytes | None) -> bytes | None:
    """The body of a record; the same bytes if nothing of it was changed, None if the project's hook failed."""
    if not value or redactor.changes_nothing:
        return value
    try:
        try:
            body = pydantic_core.from_json(value)
        except (ValueError, RecursionError):
            text = value.decode("utf-8", "surrogateescape")
            found = redactor.text(place, text)
            return value if found == text else found.encode("utf-8", "surrogateescape")
        changed = redactor.value(place, body)
        return value if changed == body else pydantic_core.to_json(changed)
    except (RedactionError, RecursionError, ValueError):  # the hook gave what JSON or UTF-8 cannot hold, too
        return None


def redacted_headers(redactor: Redactor, headers: Headers) -> list[tuple[str, bytes | str | None]]:
    """A sender's own headers; those of the protocol stay as they are."""
    return [
        (name, value if name in PROTOCOL else _redacted(redactor, "dead_letter", name, value))
        for name, value in headers
    ]


def shown_record(redactor: Redactor, record: Record) -> Record:
    """A record as a command shows it."""
    if redactor.changes_nothing:
        return record
    headers = [(name, _redacted(redactor, "show", name, value)) for name, value in record.headers or ()]
    return replace(record, value=redacted_body(redactor, "show", record.value), headers=headers)


def _redacted(redactor: Redactor, place: Place, name: str, value: bytes | str | None) -> bytes | str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
    found = redactor.shown_text(place, text, f"headers.{name}")
    return value if found == text else found.encode("utf-8", "replace")
