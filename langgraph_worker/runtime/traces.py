"""The worker's tracing: opened with it, and closed in bounded time, whatever its receiver does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from contextlib import AsyncExitStack

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.telemetry.traces.make_tracing import make_tracing, trace_targets
from langgraph_worker.telemetry.traces.port import FLUSH_THREAD, NoTracing, Tracing
from workflow_events.kafka_errors import without_secrets

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 3.0


def open_tracing(stack: AsyncExitStack, settings: WorkerSettings, redactor: Redactor) -> Tracing:
    """What traces the runs. The stack closes it. Never raises: a worker without its traces does its work.

    :param redactor: what changes the texts in them.
    """
    targets = trace_targets()
    for problem in targets.problems:
        logger.warning("%s", problem, extra={"action": "no_traces"})
    try:
        texts = settings.exception_texts
        tracing = make_tracing(targets, settings.worker_id, exception_texts=texts, redactor=redactor)
    except Exception as error:  # noqa: BLE001 - an exporter may raise anything about its variables
        why = without_secrets(str(error))
        logger.warning("no traces: %s: %s", type(error).__name__, why, extra={"action": "no_traces"})
        return NoTracing()
    if targets.in_words:
        stack.push_async_callback(_close, tracing)
        logger.info("traces go to %s, %s", targets.in_words, targets.content_in_words, extra={"action": "traces"})
    return tracing


async def _close(tracing: Tracing) -> None:
    """Send what is left. Not in the threads of nodes: they may all be at work."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def close() -> None:
        try:
            tracing.close()
        except Exception:
            logger.exception("traces may be lost", extra={"action": "traces_lost"})
        with contextlib.suppress(RuntimeError):  # the loop did not wait for it
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=close, name=FLUSH_THREAD, daemon=True).start()
    try:
        await asyncio.wait_for(done.wait(), _CLOSE_SECONDS)
    except TimeoutError:
        logger.warning(
            "the last traces are lost: their receiver has not taken them within %g s",
            _CLOSE_SECONDS,
            extra={"action": "traces_lost"},
        )
