"""The progress of a run, as lines for a person at a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from workflow_events.control import ProgressKind
from workflow_events.plain_text import one_line


class ProgressLines:
    """Takes the messages of a run's progress, and writes a line of each to standard error."""

    def offer(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes | str | None]]) -> bool:
        """Write a line."""
        line = _line(json.loads(value))
        if line:
            print(one_line(line), file=sys.stderr, flush=True)
        return True

    def close(self, timeout: float) -> None:
        """Nothing is under way."""


def _line(message: dict[str, Any]) -> str:
    """A message in words; empty if it says nothing of interest."""
    node: str = message.get("node") or ""
    data: Any = message.get("data")
    match message["kind"]:
        case ProgressKind.NODE_STARTED:
            return f"{node} ..."
        case ProgressKind.NODE_FINISHED:
            error = f": {data['error']}" if data.get("error") else ""
            return f"{node} {data['status'].lower()} in {data.get('seconds', 0):g} s{error}"
        case ProgressKind.BACKS_OFF:
            return f"goes on in {data['seconds']:g} s ({data['words']})"
        case ProgressKind.CUSTOM:
            return f"{node or 'stream'}: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}"
    return ""
