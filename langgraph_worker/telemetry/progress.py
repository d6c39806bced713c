"""Publishes what runs do while they run: best effort. A message may be late, dropped or lost. No run waits or fails for
it, and a missing message proves nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from langgraph_worker.broker.port import BestEffortProducer
from langgraph_worker.domain.json_values import capped
from langgraph_worker.domain.models import Accepted, Claim, Failure, Step, StepStatus
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.domain.retry_policy import BackOff
from langgraph_worker.domain.token_bucket import TokenBucket
from workflow_events.codec import encode
from workflow_events.control import ProgressKind, WorkflowProgressEvent
from workflow_events.models import WorkflowEvent

logger = logging.getLogger(__name__)

_CUSTOM_DATA_BYTES = 8_192  # as JSON
_TEXTS = ("error", "words", "text")  # content of the messages that are not custom
_GATHER_SECONDS = 0.25  # in which tokens are gathered to one message
QUICK_SECONDS = 0.1
"""A node that ends sooner has one message: that of its end. Nobody could have read the other one meanwhile."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What this worker publishes, and where.

    :param producer: None: publish nothing.
    :param tokens_topic: where models' tokens go; None: publish none.
    :param per_second: most messages of one run, without its tokens.
    :param quick_seconds: how long the message of a node's start waits for its end; 0: it is published at once.
    :param now: seconds of a monotonic clock.
    :param redactor: what changes the data of messages.
    """

    producer: BestEffortProducer | None = None
    topic: str = ""
    tokens_topic: str | None = None
    worker_id: str = ""
    per_second: float = 0.0
    quick_seconds: float = QUICK_SECONDS
    now: Callable[[], float] = time.monotonic
    redactor: Redactor = field(default_factory=Redactor)

    def accepted(
        self, event: WorkflowEvent, accepted: Accepted, notes: Sequence[str] = (), traceparent: str | None = None
    ) -> None:
        """A request is in the store, and will run.

        :param notes: what its sender should know, a sentence each.
        :param traceparent: the trace context of what asked.
        """
        data: dict[str, JsonValue] = {"decision": accepted.decision.value}
        if notes:
            data["notes"] = list(notes)
        self.publish(self.topic, event, ProgressKind.ACCEPTED, data=data, traceparent=traceparent)

    def backs_off(self, claim: Claim, back_off: BackOff, failure: Failure) -> None:
        """A run waits, and is repeated then."""
        data: dict[str, JsonValue] = {
            "error_class": back_off.error_class.value,
            "words": back_off.words,
            "seconds": round(back_off.wait_seconds, 1),
        }
        trace = claim.reply_traceparent
        self.publish(self.topic, claim.event, ProgressKind.BACKS_OFF, failure.node, data=data, traceparent=trace)

    def paused(self, event: WorkflowEvent, words: str, traceparent: str | None = None) -> None:
        """A request waits for the end of a pause, or for its turn to call a model.

        :param words: what is paused, since when, by whom and why; or which model it waits for.
        """
        self.publish(self.topic, event, ProgressKind.PAUSED, data={"words": words}, traceparent=traceparent)

    def for_run(self, claim: Claim, tokens: Callable[[], int] = lambda: 0) -> RunProgress:
        """The progress of one run.

        :param tokens: how many its models have used by now.
        """
        return RunProgress(self, claim, tokens)

    def publish(
        self,
        topic: str,
        event: WorkflowEvent,
        kind: ProgressKind,
        node: str | None = None,
        agent: str | None = None,
        data: Any = None,
        traceparent: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Hand a message over, or drop it.

        :param data: JSON; of a custom event, whatever its graph wrote.
        :param at: when it happened; None: now.
        """
        if self.producer is None:
            return
        try:
            message = WorkflowProgressEvent(
                correlation_id=event.event_id,
                workflow_id=event.workflow_id,
                workflow_run_id=event.workflow_run_id,
                kind=kind,
                node=node,
                agent=agent,
                data=self._sendable(kind, data),
                worker_id=self.worker_id,
                **({} if at is None else {"timestamp": at}),
            )
            sent = encode(message, traceparent=traceparent)
        except Exception as error:  # noqa: BLE001 - a graph may write anything
            logger.debug("progress of %s dropped: %s", event.event_id, error, extra={"action": "dropped"})
        else:
            self.producer.offer(topic, sent.key, sent.value, sent.headers)

    def _sendable(self, kind: ProgressKind, data: Any) -> JsonValue:
        if kind is ProgressKind.CUSTOM:
            return capped(data, _CUSTOM_DATA_BYTES, lambda whole: self.redactor.shown("progress", whole))
        # The worker's own: its readers rely on the figures and names beside.
        own = data or {}
        texts = {name: self.redactor.shown_text("progress", own[name], name) for name in _TEXTS if name in own}
        return {**own, **texts}


class RunProgress:
    """Publishes the progress of one run.

    :ivar modes: the modes of LangGraph's stream that it needs.
    """

    def __init__(self, progress: Progress, claim: Claim, tokens: Callable[[], int]) -> None:
        self._progress = progress
        self._tokens = tokens
        self._finished = 0
        self._event = claim.event
        self._traceparent = claim.reply_traceparent
        self._thread: dict[str, JsonValue] = {"thread_id": claim.thread_id}
        if claim.thread_name is not None:
            self._thread["thread_name"] = claim.thread_name
        self._first: dict[str, JsonValue] = {}  # for the first node only
        self._held: dict[str, _HeldStart] = {}  # by the id of the step
        self._rate = TokenBucket(progress.per_second, progress.now)
        self._text: dict[tuple[str, str], str] = {}
        self._flushed_at = progress.now()
        self.modes: list[Any] = []
        if progress.producer is not None:
            self.modes = ["custom"] if progress.tokens_topic is None else ["custom", "messages"]

    def resumed(self, not_run_again: Sequence[str]) -> None:
        """The run goes on: its first node's message names the nodes that have finished before."""
        self._first = {"not_run_again": list(not_run_again)}

    def step(self, step: Step) -> None:
        """A node has begun or ended."""
        if self._progress.producer is None:
            return
        if step.status is StepStatus.RUNNING:
            self._hold(step, self._thread | self._first)
            self._first = {}
            return
        self.flush()
        self._finished += 1
        data: dict[str, JsonValue] = {"status": step.status.value, "finished": self._finished}
        if held := self._held.pop(step.step_id, None):
            held.timer.cancel()
            data |= held.data
        if tokens := self._tokens():
            data["tokens"] = tokens
        if step.finished_at is not None:
            data["seconds"] = round((step.finished_at - step.started_at).total_seconds(), 3)
        if step.error is not None:
            data["error"] = step.error
        self._publish(ProgressKind.NODE_FINISHED, step.node, step.agent, data)

    def part(self, kind: str, namespace: Sequence[str], data: Any) -> None:
        """A part of LangGraph's stream in one of the :attr:`modes`."""
        if kind == "custom":
            self._publish_starts()
            node = namespace[-1].partition(":")[0] if namespace else None
            self._publish(ProgressKind.CUSTOM, node, None, data)
        elif kind == "messages":
            self._gather(*data)

    def _gather(self, chunk: Any, metadata: Mapping[str, Any]) -> None:
        text = getattr(chunk, "text", "")
        if not isinstance(text, str) or not text:
            return
        key = str(getattr(chunk, "id", None) or ""), str(metadata.get("langgraph_node") or "")
        self._text[key] = self._text.get(key, "") + text
        if self._progress.now() - self._flushed_at >= _GATHER_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Publish the tokens that were gathered."""
        gathered, self._text = self._text, {}
        self._flushed_at = self._progress.now()
        for (message, node), text in gathered.items():
            data: JsonValue = {"message": message, "text": text}
            topic = self._progress.tokens_topic or ""
            self._progress.publish(
                topic, self._event, ProgressKind.TOKEN, node or None, data=data, traceparent=self._traceparent
            )

    def close(self) -> None:
        """The run is over, as far as it goes here: publish nothing more of its nodes' starts."""
        for held in self._held.values():
            held.timer.cancel()
        self._held.clear()

    def _hold(self, step: Step, data: dict[str, JsonValue]) -> None:
        wait = self._progress.quick_seconds
        if not wait:
            self._publish(ProgressKind.NODE_STARTED, step.node, step.agent, data, step.started_at)
            return
        timer = asyncio.get_running_loop().call_later(wait, self._publish_start, step.step_id)
        self._held[step.step_id] = _HeldStart(step, data, timer)

    def _publish_starts(self) -> None:
        """Of nodes that run: what one of them says comes after them."""
        for step_id in list(self._held):
            self._publish_start(step_id)

    def _publish_start(self, step_id: str) -> None:
        held = self._held.pop(step_id)
        held.timer.cancel()
        step = held.step
        self._publish(ProgressKind.NODE_STARTED, step.node, step.agent, held.data, step.started_at)

    def _publish(
        self, kind: ProgressKind, node: str | None, agent: str | None, data: Any, at: datetime | None = None
    ) -> None:
        if self._rate.take():
            self._progress.publish(self._progress.topic, self._event, kind, node, agent, data, self._traceparent, at)


@dataclass(frozen=True, slots=True)
class _HeldStart:
    """The message of a node's start, which is not published yet."""

    step: Step
    data: dict[str, JsonValue]
    timer: asyncio.TimerHandle
