"""How a reply travels from a trigger to its task: as the payload of the trigger's one event."""

from __future__ import annotations

from typing import Any

from workflow_events import headers
from workflow_events.codec import Record
from workflow_events.plain_text import one_line

MOST_BYTES = 4 * 1024 * 1024
"""The largest reply that a trigger passes on: Airflow packs it on the event loop that all triggers share, and stores it
in its database. Workers send none above 1,000,000 bytes unless they are configured to."""


class Reply(dict[str, Any]):
    """The event's payload. Airflow logs every event; the repr of this one shows no result, which may be secret.

    ``kind`` is one of

    - ``result``: ``result`` is the text of the reply as it came, undecoded, which names ``topic``, ``partition`` and
      ``offset``; ``correlation_id`` and ``bytes`` are what the log shows besides;
    - ``silence``: no reply came by the deadline and its grace; ``error`` may say why none could be read, and ``heard``
      what a worker reported last;
    - ``broken``: the reply cannot be waited for or cannot be read, ``error`` says why; a retry can help;
    - ``refused``: the connection's settings are wrong, ``error`` says how; a retry cannot help.
    """

    def __repr__(self) -> str:
        return f"<{' '.join(f'{name}={one_line(str(value))}' for name, value in self.items() if name != 'result')}>"


def reply_of(record: Record, correlation_id: str, most_bytes: int = MOST_BYTES) -> Reply:
    """The payload that carries a record to its task. Nothing is parsed here: its task does that."""
    value = record.value or b""
    if len(value) > most_bytes:
        why = (
            f"it has {len(value)} bytes, and a trigger passes on {most_bytes} at most: return a reference instead, or "
            "set deferrable=False"
        )
        return Reply(kind="broken", error=f"the reply at {record.where} cannot be passed on: {why}")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        return Reply(kind="broken", error=f"the reply at {record.where} cannot be read: it is not UTF-8: {error}")
    schema = headers.value_of(record.headers, headers.SCHEMA_VERSION) or ""
    if "\0" in text or "\0" in schema:  # no JSON, and databases refuse it: the whole triggerer would fail with it
        return Reply(kind="broken", error=f"the reply at {record.where} cannot be read: it holds a zero byte")
    return Reply(
        kind="result",
        correlation_id=correlation_id,
        bytes=len(value),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        schema=schema,
        result=text,
    )


def record_in(event: dict[str, Any]) -> Record:
    """The record that :func:`reply_of` packed, in the task's process; or the result alone, of an older version."""
    found: list[tuple[str, bytes | str | None]] = [(headers.CORRELATION_ID, event["correlation_id"].encode())]
    if event.get("schema"):
        found.append((headers.SCHEMA_VERSION, event["schema"].encode()))
    return Record(
        event.get("topic", "?"),
        event.get("partition", -1),
        event.get("offset", -1),
        event["result"].encode(),
        found,
    )
