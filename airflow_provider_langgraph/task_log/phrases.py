"""Progress messages in words, for a task's log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflow_events.control import ProgressKind, WorkflowProgressEvent
from workflow_events.log_words import in_seconds
from workflow_events.plain_text import one_line

LONGEST_PART_CHARACTERS = 300
LONGEST_NOTE_CHARACTERS = 600
LONGEST_NODE_CHARACTERS = 60
LARGEST_COUNT = 2**53
MOST_NOTES = 6


@dataclass(frozen=True, slots=True)
class ProgressLine:
    """One progress message in words.

    :param words: one line of printable characters; empty if there is nothing to say.
    :param worker_id: the worker that sent it.
    :param notes: warnings about the request itself, a line of printable characters each.
    :param node: the node that it is about, a line of printable characters; empty if it is about none.
    :param finished_nodes: how many nodes of the run have finished; 0 if it does not say.
    :param tokens: how many tokens the run has used; 0 if it does not say.
    """

    words: str
    worker_id: str
    timestamp: datetime
    notes: tuple[str, ...] = ()
    kind: ProgressKind = ProgressKind.CUSTOM
    node: str = ""
    finished_nodes: int = 0
    tokens: int = 0


def progress_line(message: WorkflowProgressEvent) -> ProgressLine:
    """A message in words. Takes long for a large one: not for an event loop."""
    return ProgressLine(
        _words(message),
        _plain(message.worker_id or "?"),
        message.timestamp,
        _notes(message),
        message.kind,
        _plain(message.node or "", LONGEST_NODE_CHARACTERS),
        _count(message, "finished"),
        _count(message, "tokens"),
    )


def _count(message: WorkflowProgressEvent, name: str) -> int:
    data = message.data if isinstance(message.data, dict) and message.kind is ProgressKind.NODE_FINISHED else {}
    count = data.get(name)
    return count if type(count) is int and 0 < count <= LARGEST_COUNT else 0


def _notes(message: WorkflowProgressEvent) -> tuple[str, ...]:
    notes = message.data.get("notes") if isinstance(message.data, dict) else None
    if message.kind is not ProgressKind.ACCEPTED or not isinstance(notes, list):
        return ()
    return tuple(_plain(note, LONGEST_NOTE_CHARACTERS) for note in notes[:MOST_NOTES] if isinstance(note, str))


def _words(message: WorkflowProgressEvent) -> str:
    """One message in words; empty if there is nothing to say."""
    data = message.data if isinstance(message.data, dict) else {}
    node = message.node or "the graph"
    match message.kind:
        case ProgressKind.ACCEPTED:
            return _plain(f"taken by worker {message.worker_id or '?'}")
        case ProgressKind.NODE_STARTED:
            return _plain(f"{_resumed(data)}{node} started")
        case ProgressKind.NODE_FINISHED:
            took = f" in {_duration(data['seconds'])}" if "seconds" in data else ""
            failed = f": {data['error']}" if data.get("error") else ""
            ended = "finished" if data.get("status") in (None, "COMPLETED") else str(data["status"]).lower()
            return _plain(f"{_resumed(data)}{node} {ended}{took}{failed}")
        case ProgressKind.BACKS_OFF:
            return _plain(f"goes on in {_duration(data.get('seconds', '?'))} ({data.get('words', 'after an error')})")
        case ProgressKind.PAUSED:
            return _plain(f"waits: {data.get('words', 'it is paused')}")
        case ProgressKind.CUSTOM:
            text = message.data if isinstance(message.data, str) else json.dumps(message.data, ensure_ascii=False)
            return _plain(f"{node} says {text}")
        case ProgressKind.TOKEN:
            return ""


def _resumed(data: Mapping[str, Any]) -> str:
    """What the first message of a run that goes on says of the nodes before it; empty for every other message."""
    finished = data.get("not_run_again")
    if not isinstance(finished, list):
        return ""
    return f"resumed: {', '.join(map(str, finished))} not run again; " if finished else "resumed; "


def _duration(seconds: Any) -> str:
    return in_seconds(seconds) if isinstance(seconds, int | float) else f"{seconds} s"


def _plain(text: str, longest: int = LONGEST_PART_CHARACTERS) -> str:
    """One line of printable characters: no text of a graph can pass for another line of the log."""
    shown = text if len(text) <= longest else f"{text[:longest]}…"
    return one_line(shown)
