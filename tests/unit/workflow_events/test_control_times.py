"""When a pause was sent: by its own time, else by that of its record, and never by the time at which it is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from workflow_events.codec import Record, decode_control
from workflow_events.errors import DecodeError

WRITTEN = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)


def record(timestamp_ms: int | None, **body: object) -> Record:
    value = json.dumps({"scope": "fleet", **body}).encode()
    return Record("control", 0, 7, value, [], timestamp_ms=timestamp_ms)


@pytest.mark.parametrize("kind", ["workflow.paused", "workflow.unpaused"])
def test_a_message_without_a_time_has_that_of_its_record(kind: str) -> None:
    found = decode_control(record(int(WRITTEN.timestamp() * 1000), event_type=kind))
    assert found.timestamp == WRITTEN  # type: ignore[union-attr]


def test_its_own_time_counts() -> None:
    found = decode_control(record(1, event_type="workflow.paused", timestamp=WRITTEN.isoformat()))
    assert found.timestamp == WRITTEN  # type: ignore[union-attr]


@pytest.mark.parametrize("timestamp_ms", [None, 10**17])
def test_without_any_time_it_is_refused(timestamp_ms: int | None) -> None:
    with pytest.raises(DecodeError, match=r"timestamp.* is missing, and the record has no time"):
        decode_control(record(timestamp_ms, event_type="workflow.paused"))
