"""Calls of models that an earlier owner of a run made and did not count, because it vanished."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage
from langgraph.types import StateSnapshot

from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.telemetry.usage import call_of
from workflow_events.log_words import counted, short_id

logger = logging.getLogger(__name__)

_DEEPEST = 5  # how far messages are looked for in a state's values


def note_earlier_messages(meter: RunMeter, snapshot: StateSnapshot) -> None:
    """A logical run begins on a thread that holds messages: none of them is its own."""
    meter.know(message.id for message in _answers(snapshot) if message.id is not None)


def count_uncounted_calls(meter: RunMeter, claim: Claim, snapshot: StateSnapshot) -> None:
    """Count what the thread's messages report, and the run's count lacks. What cannot be told is logged.

    Only a message that still has the id of the call that made it can be compared; LangGraph gives a UUID to one that a
    node has built. A graph inside of a node shows its messages once it has ended.
    """
    answers = [message for message in _answers(snapshot) if message.id is not None and not _is_uuid(message.id)]
    if not answers:
        return
    # A conversation holds other runs' messages: which ones, only a count that was stored can say.
    is_own = claim.event.thread_id is None and claim.thread_name is None
    found = meter.recover(map(call_of, answers)) if is_own or claim.spent is not None else None
    about = {"correlation_id": str(claim.correlation_id), "graph": claim.graph}
    if found is None:
        text = "what an earlier start spent last may not be counted: %s (graph %s, request %s)"
        why = "too many messages" if is_own or claim.spent is not None else "the thread is a conversation"
        logger.warning(text, why, claim.graph, short_id(claim.correlation_id), extra={"action": "uncounted", **about})
    elif found:
        text = "%s of an earlier start counted from the thread's messages (graph %s, request %s)"
        calls = counted(found, "model call")
        logger.info(text, calls, claim.graph, short_id(claim.correlation_id), extra={"action": "recounted", **about})


def _answers(snapshot: StateSnapshot) -> Iterator[AIMessage]:
    """The models' answers that report tokens: of the state, and of nodes whose superstep had not ended."""
    yield from _in(snapshot.values, _DEEPEST)
    for task in snapshot.tasks:
        yield from _in(task.result, _DEEPEST)


def _in(value: Any, depth: int) -> Iterator[AIMessage]:
    if isinstance(value, AIMessage):
        if value.usage_metadata:
            yield value
    elif depth and isinstance(value, dict):
        for part in value.values():
            yield from _in(part, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for part in value:
            yield from _in(part, depth - 1)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
