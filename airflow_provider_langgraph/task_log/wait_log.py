"""The lines of a waiting task's log, and when they are written: few, each in its own task's log."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_langgraph.requests.deadline import latest_reply
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.task_log.phrases import ProgressLine
from airflow_provider_langgraph.task_log.progress_inbox import ProgressInbox
from airflow_provider_langgraph.task_log.progress_listener import ProgressListener
from workflow_events.log_words import in_utc, short_id
from workflow_events.plain_text import one_line

NO_WORKER_SECONDS = 60.0
"""How long a request may go without a message of any worker before the log says so."""

STILL_SECONDS = (60.0, 300.0, 900.0, 1800.0)
"""When the log says that it still waits; after the last of them, once in as long."""

MOST_AHEAD = timedelta(seconds=5)
"""A worker's message that seems to come from further in the future shows that one of both clocks is wrong."""

NOT_TAKEN = "No worker has reported in %(waited)s that it took request %(request)s from %(events)s. "
NOBODY_HEARD = (
    "None has reported of any other request either: start a langgraph-worker for this topic, if none runs. One that "
    "runs may be full, or may not report (LANGGRAPH_WORKER_PROGRESS_PER_SECOND is 0, or it may not write to "
    "%(progress)s): its log says so. The request is taken as soon as a worker has room"
)
OTHERS_TAKEN = (
    "Workers report of other requests, so the fleet runs: it is full, or the worker that took this one does not report "
    "(LANGGRAPH_WORKER_PROGRESS_PER_SECOND is 0, or it may not write to %(progress)s). The workers' logs say which. "
    "The request is taken as soon as a worker has room"
)

MOST_PARTS = 5


class WaitLog:
    """Writes the lines of one waiter. Called from the waiter's own coroutine: only there do they reach its task's log.

    :param log: the waiter's own logger.
    :param now: the clock, in seconds.
    """

    __slots__ = (
        "_asked_at",
        "_began",
        "_ends_at",
        "_handle",
        "_has_warned_of_clock",
        "_inbox",
        "_last",
        "_line_at",
        "_log",
        "_no_worker_at",
        "_now",
        "_progress",
        "_still_at",
        "_trouble",
    )

    def __init__(
        self,
        handle: RequestHandle,
        log: Any,
        progress: ProgressListener,
        inbox: ProgressInbox,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handle = handle
        self._log = log
        self._progress = progress
        self._inbox = inbox
        self._now = now
        self._began = now()
        self._ends_at = latest_reply(handle.deadline, datetime.now(UTC))
        self._asked_at = handle.asked_at or datetime.now(UTC)
        self._line_at = 0.0
        self._still_at = self._began + STILL_SECONDS[0]
        self._no_worker_at = self._began + NO_WORKER_SECONDS
        self._trouble: str | None = None
        self._last = ""
        self._has_warned_of_clock = False

    def pause(self) -> float:
        """Seconds until it has something to write, unless there is progress before."""
        due = min(self._still_at, self._no_worker_at)
        if self._inbox.messages:
            due = min(due, self._line_at)
        return max(due - self._now(), 0.0)

    @property
    def last_heard(self) -> str:
        """What a worker reported last of the request, one line; empty if none did."""
        return self._inbox.messages[-1].words if self._inbox.messages else self._last

    def write_due(self, trouble: str | None) -> None:
        """Write the lines that are due now.

        :param trouble: why results cannot be read just now; None while they can.
        """
        now = self._now()
        if self._inbox.messages and now >= self._line_at:
            self._write_progress(now)
        if trouble != self._trouble:
            self._trouble = trouble
            self._log.warning(
                "Waiting on: %s", one_line(trouble) if trouble else f"{self._handle.results_topic} can be read again"
            )
        if now >= self._no_worker_at:
            self._write_no_worker(now)
        if now >= self._still_at:
            self._write_still(now)

    def _write_progress(self, now: float) -> None:
        self._line_at = now + self._progress.line_seconds
        messages, dropped = self._inbox.take()
        self._compare_clocks(messages[-1])
        parts = [message.words for message in messages]
        self._last = parts[-1]
        more = dropped + max(0, len(parts) - MOST_PARTS)
        shown = "; ".join(parts[-MOST_PARTS:])
        self._log.info("Agent: %s%s", f"({more} more before) " if more else "", shown)
        for note in (note for message in messages for note in message.notes):
            self._log.warning("The worker says of this request: %s", note)

    def _compare_clocks(self, message: ProgressLine) -> None:
        ahead = message.timestamp - datetime.now(UTC)
        if ahead > MOST_AHEAD and not self._has_warned_of_clock:
            self._has_warned_of_clock = True
            self._log.warning(
                "The clock of worker %s is at least %.0f s ahead of this triggerer's. Both judge the deadline: let "
                "both hosts' clocks be set by NTP",
                message.worker_id,
                ahead.total_seconds(),
            )

    def _write_no_worker(self, now: float) -> None:
        self._no_worker_at = float("inf")
        if self._inbox.has_heard:
            return
        if self._progress.trouble is not None:
            self._log.info("What the agent does cannot be shown: %s", one_line(self._progress.trouble))
        elif self._progress.covers(self._handle.asked_at):
            self._log.warning(
                NOT_TAKEN + (OTHERS_TAKEN if self._is_fleet_heard() else NOBODY_HEARD),
                {
                    "request": self._handle.correlation_id,
                    "waited": self._waited(),
                    "events": self._handle.events_topic,
                    "progress": self._handle.progress_topic,
                },
            )
            self._no_worker_at = now + STILL_SECONDS[-1]

    def _is_fleet_heard(self) -> bool:
        """Whether workers have reported of other requests since this one was published."""
        heard_at = self._progress.heard_at
        return heard_at is not None and heard_at >= self._asked_at

    def _write_still(self, now: float) -> None:
        waited = now - self._began
        later = [after for after in STILL_SECONDS if after > waited]
        self._still_at = self._began + (later[0] if later else STILL_SECONDS[-1] * (waited // STILL_SECONDS[-1] + 1))
        position = self._inbox.position.words(datetime.now(UTC))
        self._log.info(
            "Still waiting after %s%s%s (until %s at the latest, request %s)",
            self._waited(),
            f"; {position}" if position else "",
            f"; last heard: {self._last}" if self._last else "",
            in_utc(self._ends_at),
            short_id(self._handle.correlation_id),
        )

    def _waited(self) -> str:
        return str(timedelta(seconds=round((datetime.now(UTC) - self._asked_at).total_seconds())))
