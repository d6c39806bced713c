"""Compares the clock of an event's sender with this host's: a deadline is an instant that both of them judge.

Kafka does not publish its own time. But nothing can be written in the future, so an event that seems to come from there
shows that one clock is wrong. The waiting side checks the worker's messages in the same way, and so sees the opposite
error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from workflow_events.log_words import short_id
from workflow_events.models import WorkflowEvent

logger = logging.getLogger(__name__)

TOLERANCE = timedelta(seconds=5)
AGAIN_SECONDS = 600.0


class ClockSkewWatch:
    """Warns of events from the future, at most once in ten minutes.

    :param now: seconds of a monotonic clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._again_at = float("-inf")

    def look(self, event: WorkflowEvent) -> None:
        """Compare the time at which an event was made with this host's."""
        ahead = event.timestamp - datetime.now(UTC)
        if ahead <= TOLERANCE or self._now() < self._again_at:
            return
        self._again_at = self._now() + AGAIN_SECONDS
        logger.warning(
            "The sender's clock is at least %.0f s ahead of this host's. Both judge deadlines: let both hosts' clocks "
            "be set by NTP (request %s of %s, run %s)",
            ahead.total_seconds(),
            short_id(event.event_id),
            event.workflow_id,
            event.workflow_run_id,
            extra={"action": "clock_differs"},
        )
