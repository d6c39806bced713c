"""The body of a record as it may be kept or shown: an event's JSON, or what came instead of it."""

from __future__ import annotations

from dataclasses import replace

import pydantic_core

from langgraph_worker.domain.redaction import Place, RedactionError, Redactor
from workflow_events.codec import Record


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
    except (RedactionError, RecursionError):
        return None


def shown_record(redactor: Redactor, record: Record) -> Record:
    """A record as a command shows it."""
    if redactor.changes_nothing:
        return record
    headers = [(name, _shown_header(redactor, name, value)) for name, value in record.headers or ()]
    return replace(record, value=redacted_body(redactor, "show", record.value), headers=headers)


def _shown_header(redactor: Redactor, name: str, value: bytes | str | None) -> bytes | str | None:
    if not isinstance(value, bytes):
        return value
    return redactor.shown_text("show", value.decode("utf-8", "replace"), f"headers.{name}").encode("utf-8", "replace")
