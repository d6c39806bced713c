"""The turns of all calls of one worker: asked for in batches, one transaction for all that wait for a model.

A thread of its own asks the store, so that neither the event loop nor the threads of nodes wait for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from langgraph_worker.domain.model_turns import LATE_SECONDS, GivenTurn, ModelLimit, TurnRequest
from langgraph_worker.errors import StoreError
from langgraph_worker.graphs.model_limits import ModelLimits
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store_in_thread
from langgraph_worker.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

THREAD = "model-turns"
"""How the name of its thread begins."""

_WATCH_SECONDS = 60.0  # after the last call of a model, for 429s of other workers
_FRESH_SECONDS = 5.0  # for which a call believes what was read last
_MOST_UNLIMITED = 100  # models that are remembered


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of one call. Its times are of the queue's clock, in seconds.

    :param begins_at: no earlier may the call be sent.
    :param late_at: nor later.
    :param is_held: its run keeps it in the store: it is not given back.
    """

    slot: int
    begins_at: float
    late_at: float
    is_held: bool = False


@dataclass(slots=True)
class _Pending:
    """What is to be said to the store of one model."""

    limit: ModelLimit
    asked: list[tuple[int | None, Future[Turn]]] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)


class TurnQueue:
    """Asks for the turns of a worker's calls, and knows which models take none for now. Safe in every thread.

    :param now: in seconds, of a clock that never goes back.
    """

    def __init__(
        self,
        store: RunStore,
        limits: ModelLimits | None = None,
        metrics: Metrics | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self.limits = limits or ModelLimits()
        self.metrics = metrics or Metrics()
        self.now = now
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._cool_until: dict[str, float] = {}
        self._unlimited: set[str] = set()
        self._called_at = self._looked_at = float("-inf")
        self._over = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD)

    def close(self) -> None:
        """Ask for nothing more; what waits is refused."""
        self._over.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            pending, self._pending = self._pending, {}
        for one in pending.values():
            self._refuse(one, StoreError("the worker stops", retriable=False))

    def is_new_without_limit(self, model: str) -> bool:
        """Whether a model without a limit has answered for the first time, where others have limits."""
        with self._lock:
            if not self.limits.by_name or model in self._unlimited or len(self._unlimited) >= _MOST_UNLIMITED:
                return False
            self._unlimited.add(model)
            return True

    # ---- turns ----

    def ask(self, model: str, limit: ModelLimit, held: int | None = None) -> Future[Turn]:
        """A turn. A future that is cancelled gives it back.

        :param held: the slot of a turn that the call's run has kept.
        """
        future: Future[Turn] = Future()
        self._say(model, limit, lambda pending: pending.asked.append((held, future)))
        return future

    def give_back(self, model: str, limit: ModelLimit, slot: int) -> None:
        """A turn was not used."""
        self._say(model, limit, lambda pending: pending.returned.append(slot))

    def answered(self, model: str, limit: ModelLimit, tokens: int) -> None:
        """A call has come back, and took so many tokens."""
        self._say(model, limit, lambda pending: pending.answered.append(tokens))

    def _say(self, model: str, limit: ModelLimit, add: Callable[[_Pending], None]) -> None:
        with self._lock:
            add(self._pending.setdefault(model, _Pending(limit)))
        try:
            self._thread.submit(self._flush, model)
        except RuntimeError:  # closed
            self.close()

    def _flush(self, model: str) -> None:
        """Say to the store what has come together for a model; nothing, if the flush before has said it."""
        with self._lock:
            pending = self._pending.pop(model, None)
        if pending is None:
            return
        wanted = [(held, future) for held, future in pending.asked if future.set_running_or_notify_cancel()]
        kept = [(held, future) for held, future in wanted if held is not None]
        fresh = [(held, future) for held, future in wanted if held is None]
        request = TurnRequest(
            model,
            pending.limit,
            len(fresh),
            tuple(held for held, _ in kept if held is not None),
            tuple(pending.returned),
            tuple(pending.answered),
        )
        asked_at = 0.0

        def ask() -> list[GivenTurn]:
            nonlocal asked_at
            asked_at = self.now()
            return self._store.take_turns(request).result()

        try:
            given = retry_store_in_thread(ask, "take turns of a model", self._over)
        except Exception as error:  # noqa: BLE001 - each call decides
            self._refuse(_Pending(pending.limit, wanted), error)
            return
        received_at = self.now()
        for (held, future), turn in zip([*kept, *fresh], given, strict=True):
            begins_at = received_at + max(0.0, turn.wait_seconds)
            late_at = asked_at + turn.wait_seconds + LATE_SECONDS
            future.set_result(Turn(turn.slot, begins_at, late_at, held == turn.slot))

    def _refuse(self, pending: _Pending, error: Exception) -> None:
        for _, future in pending.asked:
            if future.running() or future.set_running_or_notify_cancel():
                future.set_exception(error)

    # ---- models that take no calls for now ----

    def cooling(self, model: str) -> float:
        """For how many seconds the model takes no calls, as far as this worker knows; else 0."""
        self._called_at = self.now()
        return max(0.0, self._cool_until.get(model, 0.0) - self.now())

    def refused(self, model: str, seconds: float) -> None:
        """A provider takes no calls of this model for so long: all workers wait."""
        with self._lock:
            self._cool_until[model] = max(self._cool_until.get(model, 0.0), self.now() + seconds)
        try:
            self._thread.submit(self._store_refusal, model, seconds)
        except RuntimeError:  # closed
            logger.debug("a 429 of %s is not stored: the worker stops", model, extra={"action": "cooling"})

    def _store_refusal(self, model: str, seconds: float) -> None:
        try:
            retry_store_in_thread(
                lambda: self._store.cool(model, seconds).result(), "store that a model takes no calls", self._over
            )
        except StoreError as error:
            logger.error("a 429 of %s is not stored: %s", model, error, extra={"action": "store_trouble"})

    def catch_up(self) -> Future[None] | None:
        """Read which models take no calls, before a call of one; None: that was read a moment ago."""
        if self.now() - self._looked_at <= _FRESH_SECONDS or self._over.is_set():
            return None
        return self._thread.submit(self._look)

    def look(self) -> None:
        """Read which models take no calls, if a run of this worker has called one lately. Do not wait for it."""
        if self.now() - self._called_at <= _WATCH_SECONDS and not self._over.is_set():
            self._thread.submit(self._look)

    def _look(self) -> None:
        read_at = self.now()
        try:
            found = self._store.cooling().result()
        except StoreError as error:
            logger.debug("cannot read which models take no calls: %s", error, extra={"action": "store_trouble"})
            return
        with self._lock:
            self._looked_at = read_at
            for model, seconds in found.items():
                self._cool_until[model] = max(self._cool_until.get(model, 0.0), read_at + seconds)
            self._cool_until = {model: until for model, until in self._cool_until.items() if until > read_at}
