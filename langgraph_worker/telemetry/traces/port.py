"""What a run needs of tracing, whatever its traces go to; and tracing that is off.

Nothing here imports OpenTelemetry: a worker without it has this module alone.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from langgraph_worker.domain.models import Claim
from workflow_events.results import ModelUsage

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler


FLUSH_THREAD = "trace-flush"
"""The name of the threads that send what is left. While one lives, an orderly exit would wait for its receiver."""


@dataclass(frozen=True, slots=True)
class StartEnd:
    """How one start of a run ended.

    :param status: the result's status, or why the run was given back: ``paused``, ``backs_off``, ``released`` ...
    :param error_type: None: it is no error.
    :param error: its text, as far as it may leave this worker.
    :param used: what this start has spent, by model.
    """

    status: str
    error_type: str | None = None
    error: str | None = None
    used: Mapping[str, ModelUsage] = field(default_factory=dict)


class StartTrace(Protocol):
    """The trace of one start of a run. None of its methods raises, or waits for a receiver."""

    @property
    def traceparent(self) -> str | None:
        """The trace context for what the worker sends about the run; None: nothing is recorded here."""

    @property
    def labels(self) -> Mapping[str, str]:
        """What the log's lines name of it: ``trace_id``, ``span_id``."""

    @property
    def handlers(self) -> Sequence[BaseCallbackHandler]:
        """What hears of the graph's nodes, models and tools."""

    def enter(self) -> None:
        """Make it the present context's own. Call it in the context that the graph runs in."""

    def end(self, end: StartEnd) -> None:
        """The start is over. Idempotent: the first call counts."""


class Tracing(Protocol):
    """Traces the runs of one worker."""

    def start(self, claim: Claim) -> StartTrace:
        """The trace of a start of this run, which begins now."""

    def close(self) -> None:
        """Send what is left. It may block as long as a receiver does; call it in a thread."""


class _NoTrace:
    """The start of a run that is not traced."""

    traceparent: str | None = None
    handlers: Sequence[BaseCallbackHandler] = ()
    labels: Mapping[str, str] = {}

    def enter(self) -> None:
        """Nothing."""

    def end(self, end: StartEnd) -> None:
        """Nothing."""


NO_TRACE: StartTrace = _NoTrace()


class NoTracing:
    """No run is traced."""

    def start(self, claim: Claim) -> StartTrace:
        """Nothing hears of it."""
        return NO_TRACE

    def close(self) -> None:
        """Nothing is left."""


class Both:
    """Two kinds of tracing at once: OpenTelemetry's, which names the trace to the outside, and another."""

    def __init__(self, first: Tracing, second: Tracing) -> None:
        self._first, self._second = first, second

    def start(self, claim: Claim) -> StartTrace:
        """Both traces of a start."""
        return _BothTraces(self._first.start(claim), self._second.start(claim))

    def close(self) -> None:
        """Close both at once: a receiver that does not answer takes no time from the other one."""
        first: Future[None] = Future()

        def close_first() -> None:
            try:
                self._first.close()
                first.set_result(None)
            except Exception as error:  # noqa: BLE001 - raised below
                first.set_exception(error)

        threading.Thread(target=close_first, name=FLUSH_THREAD, daemon=True).start()
        try:
            self._second.close()
        finally:
            first.result()


class _BothTraces:
    def __init__(self, first: StartTrace, second: StartTrace) -> None:
        self._first, self._second = first, second
        self.traceparent = first.traceparent or second.traceparent
        self.labels: Mapping[str, str] = {**second.labels, **first.labels}
        self.handlers: Sequence[BaseCallbackHandler] = (*first.handlers, *second.handlers)

    def enter(self) -> None:
        self._first.enter()
        self._second.enter()

    def end(self, end: StartEnd) -> None:
        self._first.end(end)
        self._second.end(end)
