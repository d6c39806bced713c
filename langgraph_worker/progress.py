"""Telling what runs do while they run: best effort. A message may be late, dropped or lost; a run is never slowed or
failed for it, and nothing may be concluded from one that is missing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from langgraph_worker.kafka.port import Notices
from langgraph_worker.outcome import capped
from langgraph_worker.store.port import Accepted, Claim, Step, StepStatus
from workflow_events.codec import encode
from workflow_events.control import ProgressKind, WorkflowProgressEvent
from workflow_events.models import WorkflowEvent

logger = logging.getLogger(__name__)

_CAP = 8_192  # bytes of JSON of what a graph tells
_SECONDS_OF_BURST = 5
_GATHER = 0.25  # seconds in which tokens are gathered to one message


class Rate:
    """A token bucket: so many a second in the long run, some seconds' worth at once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = per_second * _SECONDS_OF_BURST
        self._left = self._most
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more may go."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Progress:
    """What this worker tells, and where.

    :param notices: None to tell nothing.
    :param tokens_topic: where models' tokens go, None to tell none.
    :param per_second: most messages of one run, tokens aside.
    """

    notices: Notices | None = None
    topic: str = ""
    tokens_topic: str | None = None
    worker_id: str = ""
    per_second: float = 0.0

    def accepted(self, event: WorkflowEvent, found: Accepted) -> None:
        """A request is in the store, and will run."""
        self.tell(self.topic, event, ProgressKind.ACCEPTED, data={"decision": found.decision.value})

    def of(self, claim: Claim) -> RunProgress:
        """What one run tells."""
        return RunProgress(self, claim)

    def tell(
        self,
        topic: str,
        event: WorkflowEvent,
        kind: ProgressKind,
        node: str | None = None,
        agent: str | None = None,
        data: JsonValue = None,
    ) -> None:
        """Hand a message over, or drop it."""
        if self.notices is None:
            return
        try:
            message = WorkflowProgressEvent(
                correlation_id=event.event_id,
                workflow_id=event.workflow_id,
                workflow_run_id=event.workflow_run_id,
                kind=kind,
                node=node,
                agent=agent,
                data=data,
                worker_id=self.worker_id,
            )
            sent = encode(message)
        except Exception as error:  # noqa: BLE001 - whatever a graph tells is its own affair
            logger.debug("progress of %s dropped: %s", event.event_id, error, extra={"action": "dropped"})
        else:
            self.notices.offer(topic, sent.key, sent.value, sent.headers)


class RunProgress:
    """What one run tells.

    :ivar modes: the modes of LangGraph's stream that it needs.
    """

    def __init__(self, progress: Progress, claim: Claim) -> None:
        self._progress = progress
        self._event = claim.event
        self._thread_id = claim.lease.thread_id
        self._rate = Rate(progress.per_second)
        self._text: dict[tuple[str, str], str] = {}
        self._told_at = time.monotonic()
        self.modes: list[Any] = []
        if progress.notices is not None:
            self.modes = ["custom"] if progress.tokens_topic is None else ["custom", "messages"]

    def step(self, step: Step) -> None:
        """A node has begun or ended."""
        if self._progress.notices is None:
            return
        if step.status is StepStatus.RUNNING:
            self._tell(ProgressKind.NODE_STARTED, step.node, step.agent, {"thread_id": self._thread_id})
            return
        self.flush()
        data: dict[str, JsonValue] = {"status": step.status.value}
        if step.finished_at is not None:
            data["seconds"] = round((step.finished_at - step.started_at).total_seconds(), 3)
        if step.error is not None:
            data["error"] = step.error
        self._tell(ProgressKind.NODE_FINISHED, step.node, step.agent, data)

    def part(self, kind: str, namespace: Sequence[str], data: Any) -> None:
        """A part of LangGraph's stream in one of the :attr:`modes`."""
        if kind == "custom":
            node = namespace[-1].partition(":")[0] if namespace else None
            self._tell(ProgressKind.CUSTOM, node, None, capped(data, _CAP))
        elif kind == "messages":
            self._gather(*data)

    def _gather(self, chunk: Any, metadata: Mapping[str, Any]) -> None:
        text = getattr(chunk, "text", "")
        if not isinstance(text, str) or not text:
            return
        key = str(getattr(chunk, "id", None) or ""), str(metadata.get("langgraph_node") or "")
        self._text[key] = self._text.get(key, "") + text
        if time.monotonic() - self._told_at >= _GATHER:
            self.flush()

    def flush(self) -> None:
        """Tell the tokens that were gathered."""
        gathered, self._text = self._text, {}
        self._told_at = time.monotonic()
        for (message, node), text in gathered.items():
            data: JsonValue = {"message": message, "text": text}
            topic = self._progress.tokens_topic or ""
            self._progress.tell(topic, self._event, ProgressKind.TOKEN, node or None, data=data)

    def _tell(self, kind: ProgressKind, node: str | None, agent: str | None, data: JsonValue = None) -> None:
        if self._rate.take():
            self._progress.tell(self._progress.topic, self._event, kind, node, agent, data)
