"""What a waiting task's log says, and when: few lines, each in its own task's log."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers.progress import News, ProgressListener
from airflow_provider_langgraph.triggers.words import Told

NO_WORKER_SECONDS = 60.0
"""How long a request may go without a word of any worker before the log says so."""

STILL_SECONDS = (60.0, 300.0, 900.0, 1800.0)
"""When the log says that it still waits; after the last of them, once in as long."""

MOST_AHEAD = timedelta(seconds=5)
"""A worker's message that seems to come from further in the future shows that one of both clocks is wrong."""

MOST_PARTS = 5


class Teller:
    """Writes the lines of one waiter. Called from the waiter's own coroutine: only there do they reach its task's log.

    :param log: the waiter's own logger.
    :param trouble: why results cannot be read just now.
    """

    __slots__ = (
        "_asked_at",
        "_began",
        "_handle",
        "_is_clock_told",
        "_last",
        "_line_at",
        "_log",
        "_news",
        "_no_worker_at",
        "_progress",
        "_still_at",
        "_trouble",
    )

    def __init__(self, handle: RequestHandle, log: Any, progress: ProgressListener, news: News) -> None:
        self._handle = handle
        self._log = log
        self._progress = progress
        self._news = news
        self._began = time.monotonic()
        self._asked_at = handle.asked_at or datetime.now(UTC)
        self._line_at = 0.0
        self._still_at = self._began + STILL_SECONDS[0]
        self._no_worker_at = self._began + NO_WORKER_SECONDS
        self._trouble: str | None = None
        self._last = ""
        self._is_clock_told = False

    def pause(self) -> float:
        """Seconds until it has something to look after, unless there are news before."""
        due = min(self._still_at, self._no_worker_at)
        if self._news.messages:
            due = min(due, self._line_at)
        return max(due - time.monotonic(), 0.0)

    def look(self, trouble: str | None) -> None:
        """Write what there is to say now.

        :param trouble: why results cannot be read just now; None while they can.
        """
        now = time.monotonic()
        if self._news.messages and now >= self._line_at:
            self._tell_news(now)
        if trouble != self._trouble:
            self._trouble = trouble
            self._log.warning("Waiting on: %s", trouble or f"{self._handle.results_topic} can be read again")
        if now >= self._no_worker_at:
            self._tell_no_worker(now)
        if now >= self._still_at:
            self._tell_still(now)

    def _tell_news(self, now: float) -> None:
        self._line_at = now + self._progress.line_seconds
        messages, dropped = self._news.take()
        self._compare_clocks(messages[-1])
        parts = [message.words for message in messages]
        self._last = parts[-1]
        more = dropped + max(0, len(parts) - MOST_PARTS)
        told = "; ".join(parts[-MOST_PARTS:])
        self._log.info("Agent: %s%s", f"({more} more before) " if more else "", told)

    def _compare_clocks(self, message: Told) -> None:
        ahead = message.timestamp - datetime.now(UTC)
        if ahead > MOST_AHEAD and not self._is_clock_told:
            self._is_clock_told = True
            self._log.warning(
                "The clock of worker %s is at least %.0f s ahead of this triggerer's. Both judge the deadline: let "
                "both hosts' clocks be set by NTP",
                message.worker_id,
                ahead.total_seconds(),
            )

    def _tell_no_worker(self, now: float) -> None:
        self._no_worker_at = float("inf")
        if self._news.heard:
            return
        if self._progress.trouble is not None:
            self._log.info("What the agent does cannot be shown: %s", self._progress.trouble)
        elif self._progress.covers(self._handle.asked_at):
            self._log.warning(
                "No worker seems to consume %s: none has said in %s that it took request %s. Is a langgraph-worker "
                "running for this topic? It is taken as soon as one is",
                self._handle.events_topic,
                self._waited(),
                self._handle.correlation_id,
            )
            self._no_worker_at = now + STILL_SECONDS[-1]

    def _tell_still(self, now: float) -> None:
        waited = now - self._began
        later = [after for after in STILL_SECONDS if after > waited]
        self._still_at = self._began + (later[0] if later else STILL_SECONDS[-1] * (waited // STILL_SECONDS[-1] + 1))
        self._log.info(
            "Still waiting for request %s (thread %s) after %s, until %s at the latest%s",
            self._handle.correlation_id,
            self._handle.thread_id or "of its own",
            self._waited(),
            self._handle.deadline.isoformat(timespec="seconds"),
            f"; last heard: {self._last}" if self._last else "",
        )

    def _waited(self) -> str:
        return str(timedelta(seconds=round((datetime.now(UTC) - self._asked_at).total_seconds())))
