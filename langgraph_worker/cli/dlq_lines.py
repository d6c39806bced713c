"""A dead letter on a terminal. What senders have written must neither move the cursor nor pass for another line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from langgraph_worker.publishing.letters import Letter
from workflow_events.log_words import counted, in_utc
from workflow_events.plain_text import one_line

_MOST_REASON_CHARACTERS = 160
_MOST_NAME_CHARACTERS = 100
_MOST_HEADER_CHARACTERS = 400
MOST_BODY_CHARACTERS = 10_000


def facts_of(letter: Letter) -> dict[str, Any]:
    """What ``list --json`` writes of a letter: its names and its reason, and nothing else of its content."""
    origin, written, about = letter.origin, letter.written_at, letter.correlation_id
    return {
        "place": letter.place,
        "topic": letter.record.topic,
        "written_at": written.isoformat() if written else None,
        "reason": letter.error_type,
        "error": letter.reason,
        "attempts": letter.attempts,
        "replay": letter.replays,
        "correlation_id": str(about) if about else None,
        "workflow_id": letter.named("workflow_id") or None,
        "workflow_run_id": letter.named("workflow_run_id") or None,
        "graph": letter.named("graph") or None,
        "bytes": len(letter.record.value or b""),
        "origin": {
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "cluster": origin.cluster,
        },
    }


def line_of(letter: Letter) -> str:
    """A letter on one line."""
    about, written = letter.correlation_id, letter.written_at
    parts = [
        letter.place,
        in_utc(written) if written else "at an unknown time",
        _short(letter.error_type, _MOST_NAME_CHARACTERS) or "without an error type",
        f"{_name(letter, 'workflow_id')} / {_name(letter, 'workflow_run_id')}",
        f"graph {_name(letter, 'graph')}",
        f"request {about}" if about else "no request",
        *([counted(letter.attempts, "start")] if letter.attempts else []),
        *([f"replay {letter.replays}"] if letter.replays else []),
        _short(letter.reason, _MOST_REASON_CHARACTERS),
    ]
    return one_line("  ".join(part for part in parts if part))


def lines_of(letter: Letter, full: bool) -> Iterator[str]:
    """A letter in full: what is known of it, its headers, its event.

    :param full: the whole event; else its first :data:`MOST_BODY_CHARACTERS`.
    """
    facts = facts_of(letter)
    origin = letter.origin
    facts["origin"] = f"{origin.topic}[{origin.partition}]@{origin.offset} of cluster {origin.cluster or 'unknown'}"
    for name, value in facts.items():
        if value is not None:
            yield one_line(f"{name + ':':<17}{value}")
    yield "headers:"
    for name, value in letter.record.headers or ():
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
        yield one_line(f"    {_short(name, _MOST_NAME_CHARACTERS)}: {_short(text, _MOST_HEADER_CHARACTERS)}")
    if not letter.record.headers_readable:
        yield "    (they cannot be read)"
    yield "event:"
    text = _event_text(letter)
    shown = text if full else text[:MOST_BODY_CHARACTERS]
    for line in shown.split("\n"):
        yield f"    {one_line(line)}"
    if len(shown) < len(text):
        yield f"    … {len(text) - len(shown):,} more characters; --full shows them"


def _event_text(letter: Letter) -> str:
    value = letter.record.value
    if letter.omitted_bytes is not None:
        return f"(its {letter.omitted_bytes:,} bytes were too large for this topic, and are not in it)"
    if not value:
        return "(none)"
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return value.decode("utf-8", "backslashreplace")


def _name(letter: Letter, field: str) -> str:
    return _short(letter.named(field), _MOST_NAME_CHARACTERS) or "-"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
