"""What agents tell, in words for a task's log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from workflow_events.control import ProgressKind, WorkflowProgressEvent

LONGEST_PART = 300


@dataclass(frozen=True, slots=True)
class Told:
    """What one message says.

    :param words: one line of printable characters; empty if there is nothing to say.
    :param worker_id: who said it.
    """

    words: str
    worker_id: str
    timestamp: datetime


def told(message: WorkflowProgressEvent) -> Told:
    """A message in words. Takes long for a large one: not for an event loop."""
    return Told(_words(message), _plain(message.worker_id or "?"), message.timestamp)


def _words(message: WorkflowProgressEvent) -> str:
    """One message in words; empty if there is nothing to say."""
    data = message.data if isinstance(message.data, dict) else {}
    node = message.node or "the graph"
    match message.kind:
        case ProgressKind.ACCEPTED:
            return _plain(f"worker {message.worker_id or '?'} took the request")
        case ProgressKind.NODE_STARTED:
            thread = f" on thread {data['thread_id']}" if data.get("thread_id") else ""
            return _plain(f"{node} started{thread}")
        case ProgressKind.NODE_FINISHED:
            took = f" in {data['seconds']} s" if "seconds" in data else ""
            failed = f": {data['error']}" if data.get("error") else ""
            ended = "finished" if data.get("status") in (None, "COMPLETED") else str(data["status"]).lower()
            return _plain(f"{node} {ended}{took}{failed}")
        case ProgressKind.CUSTOM:
            told = message.data if isinstance(message.data, str) else json.dumps(message.data, ensure_ascii=False)
            return _plain(f"{node} says {told}")
        case ProgressKind.TOKEN:
            return ""


def _plain(text: str) -> str:
    """One line of printable characters: whatever a graph tells cannot pass for another line of the log."""
    shown = text if len(text) <= LONGEST_PART else f"{text[:LONGEST_PART]}…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
