"""Records a run's steps: each node's input, output and time, as far as the stream has them; and what it spends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from langgraph_worker.domain.exception_texts import described
from langgraph_worker.domain.json_values import capped
from langgraph_worker.domain.models import Claim, Step, StepStatus
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.domain.spending import Spending
from langgraph_worker.errors import RowError
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.execution.waiting_calls import CallStoppedError
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from workflow_events.log_words import short_id

logger = logging.getLogger(__name__)

_STOPPED = "stopped before it called its model: it begins again when the run goes on"
_LONGEST_ERROR = 4_000  # characters
_LAST_SECONDS = 1.0  # that a run that is stopped waits for its last write
_GATHER_SECONDS = 0.2  # that steps wait for others: a short run is written at once


class StepRecorder:
    """Turns LangGraph's ``tasks`` stream into steps and writes them beside the run, never in its way. What the run has
    spent goes with them, in the same transactions.

    Writes are coalesced: while one is under way, what changes waits for the next. Use as a context manager; when it
    ends, everything is written.

    :param max_bytes: how much is kept of an input and of an output.
    :param exception_texts: whether the text of an exception is kept, or its type alone.
    :param redactor: what changes what is kept.
    :param meter: what counts the run's spending; None: nothing does.
    """

    def __init__(
        self,
        store: RunStore,
        claim: Claim,
        max_bytes: int,
        *,
        exception_texts: bool = True,
        redactor: Redactor | None = None,
        meter: RunMeter | None = None,
    ) -> None:
        self._store = store
        self._claim = claim
        self._max_bytes = max_bytes
        self._exception_texts = exception_texts
        self._redactor = redactor or Redactor()
        self._meter = meter or RunMeter(None)
        self._open: dict[str, Step] = {}
        self._unwritten: dict[str, Step] = {}
        self._has_changed = asyncio.Event()
        self._end = asyncio.Event()
        self._writer: asyncio.Task[None]
        self.started = 0
        """Node executions that this run has begun."""
        self.failed_node: str | None = None
        """The node that last ended with an error."""
        self.last_output: tuple[str, Any] | None = None
        """Name and raw output of the node that ended last."""

    async def __aenter__(self) -> StepRecorder:
        self._meter.call_on_change(self._waker(asyncio.get_running_loop()))
        self._writer = asyncio.create_task(self._write(), name="step-recorder")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, asyncio.CancelledError):
            # Ended from outside. If the lease is gone, nothing is written; if not, what was spent by now counts.
            self._end.set()
            self._has_changed.set()
            await asyncio.wait({self._writer}, timeout=_LAST_SECONDS)
            self._writer.cancel()
            await asyncio.wait({self._writer})
            return
        self._end.set()
        self._has_changed.set()
        await self._writer

    def see(self, namespace: tuple[str, ...], data: Mapping[str, Any]) -> Step:
        """Take one part of the stream: the start of a step has triggers, its end has none."""
        now = datetime.now(UTC)
        step = self._starts(namespace, data, now) if "triggers" in data else self._ends(namespace, data, now)
        self._unwritten[step.step_id] = step
        self._has_changed.set()
        return step

    @property
    def has_open(self) -> bool:
        """Whether a node of the run's own graph has begun, and its end was not seen: it was cached, or it waits."""
        return any(not step.namespace for step in self._open.values())

    def close_open(self, status: StepStatus, reason: str | None) -> None:
        """The run is over. LangGraph reports no end of a node that was cached, or stopped by another's failure."""
        now = datetime.now(UTC)
        for step in self._open.values():
            self._unwritten[step.step_id] = replace(step, status=status, finished_at=now, error=reason)
        self._open.clear()
        self._has_changed.set()

    def _starts(self, namespace: tuple[str, ...], data: Mapping[str, Any], now: datetime) -> Step:
        self.started += 1
        step = Step(
            step_id=str(data["id"]),
            namespace="|".join(namespace),
            node=str(data["name"]),
            agent=(data.get("metadata") or {}).get("lc_agent_name"),
            status=StepStatus.RUNNING,
            started_at=now,
            input=self._kept(data.get("input"), "input"),
        )
        self._open[step.step_id] = step
        return step

    def _ends(self, namespace: tuple[str, ...], data: Mapping[str, Any], now: datetime) -> Step:
        step_id, node = str(data["id"]), str(data["name"])
        begun = self._open.pop(step_id, None)
        if begun is None:
            begun = Step(step_id, "|".join(namespace), node, None, StepStatus.RUNNING, started_at=now)
        error = data.get("error")
        status = StepStatus.COMPLETED
        if isinstance(error, CallStoppedError):
            status = StepStatus.INTERRUPTED
        elif error is not None:
            status, self.failed_node = StepStatus.FAILED, node
        elif data.get("interrupts"):
            status = StepStatus.INTERRUPTED
        self.last_output = (node, data.get("result"))
        return replace(
            begun,
            status=status,
            finished_at=now,
            output=self._kept(data.get("result"), "output"),
            error=None if error is None else self._described(error),
        )

    def _kept(self, value: Any, name: str) -> JsonValue:
        return capped(value, self._max_bytes, lambda whole: self._redactor.shown("step", whole, name))

    def _described(self, error: BaseException) -> str:
        if isinstance(error, CallStoppedError):
            return _STOPPED
        text = described(error, with_text=self._exception_texts)
        return self._redactor.shown_text("step", text, "error")[:_LONGEST_ERROR]

    async def _write(self) -> None:
        while not (self._end.is_set() and not self._unwritten and not self._meter.has_changed):
            await self._wait_for_change()
            if self._meter.shared is None:  # else other runs wait for the count
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GATHER_SECONDS):
                        await self._end.wait()
            self._has_changed.clear()
            steps, self._unwritten = list(self._unwritten.values()), {}
            spent = self._meter.take()
            if steps or spent is not None:
                await self._record(steps, spent)

    def _waker(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """What wakes the writer, from any thread."""

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: a thread of a node was left at work
                loop.call_soon_threadsafe(self._has_changed.set)

        return wake

    async def _wait_for_change(self) -> None:
        seconds = self._meter.write_every_seconds
        if seconds is None:
            await self._has_changed.wait()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._has_changed.wait()
        except TimeoutError:
            self._meter.touch()

    async def _record(self, steps: list[Step], spent: Spending | None) -> None:
        try:
            await retry_store(lambda: self._store.record(self._claim, steps, spent), "record steps")
        except RowError as error:
            if len(steps) + (spent is not None) > 1:
                for step in steps:
                    await self._record([step], None)
                if spent is not None:
                    await self._record([], spent)
                return
            self._log_loss(steps, error)

    def _log_loss(self, steps: list[Step], error: RowError) -> None:
        run = short_id(self._claim.correlation_id)
        for step in steps:
            text = "a step of node %s is not recorded: %s (step %s, request %s)"
            logger.error(text, step.node, error, step.step_id, run, extra={"action": "step_lost"})
        if not steps:
            text = "what a run has spent is not recorded: %s (request %s)"
            logger.error(text, error, run, extra={"action": "spending_lost"})
