"""Publishing stored results until the broker has acknowledged them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from langgraph_worker.broker.port import Producer, SendError
from langgraph_worker.domain.models import Outbound
from langgraph_worker.errors import DeadLetterError
from langgraph_worker.publishing.dead_letters import DeadLetters
from langgraph_worker.publishing.republish_pace import RepublishPace
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.telemetry.metrics import Metrics
from workflow_events.backoff import Backoff
from workflow_events.log_words import counted, short_id

logger = logging.getLogger(__name__)

_BATCH = 200
_MAX_UNDER_WAY = 2_000
_MAX_UNDER_WAY_BYTES = 64_000_000
_LOOK_EVERY_SECONDS = 1.0  # for results of runs that others ended, and results whose next try is due
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_REFUSED_PAUSE_SECONDS = 60.0
_FORGET_AFTER_SECONDS = 120.0  # a result that the store has not handed out again so long after its time
_COMPLAIN_EVERY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _NextTry:
    """When a result is sent again, and the pauses after further failures."""

    at: float
    backoff: Backoff


class Outbox:
    """Sends the results that the store says are unpublished. Each goes by itself: one that waits delays no other.

    :param pace: of results that are published again.
    :param now: seconds of a monotonic clock.
    :param metrics: counts what the broker has acknowledged.
    """

    def __init__(
        self,
        store: RunStore,
        producer: Producer,
        dead_letters: DeadLetters,
        pace: RepublishPace,
        now: Callable[[], float] = time.monotonic,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._producer = producer
        self._pace = pace
        self._metrics = metrics or Metrics()
        self._wake = asyncio.Event()
        self._stopping = False
        self._under_way: dict[UUID, asyncio.Task[None]] = {}
        self._next_tries: dict[UUID, _NextTry] = {}
        self._acknowledged: list[UUID] = []
        self._under_way_bytes = 0
        self._now = now
        self._complained_at = float("-inf")
        self._crash: BaseException | None = None

    def wake(self) -> None:
        """Look at once: the store has a new result."""
        self._wake.set()

    async def run(self) -> None:
        """Publish until :meth:`stop`."""
        while not self._stopping:
            self._wake.clear()
            if self._crash is not None:
                raise self._crash
            await self._note_acknowledged()
            if not await self._start_sending():
                await self._rest()

    def stop(self) -> None:
        """Let :meth:`run` return; sends that are under way go on."""
        self._stopping = True
        self._wake.set()

    async def flush(self) -> None:
        """After :meth:`run`: send each result that is left once. What Kafka does not take stays in the store."""
        await self._start_sending()
        while self._under_way and self._crash is None:
            await asyncio.wait(self._under_way.values(), return_when=asyncio.FIRST_COMPLETED)
            await self._note_acknowledged()
            await self._start_sending()
        await self._note_acknowledged()

    async def _rest(self) -> None:
        waiting = asyncio.create_task(self._wake.wait())
        await asyncio.wait({waiting}, timeout=_LOOK_EVERY_SECONDS)
        waiting.cancel()

    async def _start_sending(self) -> bool:
        """Send what is due; whether the store may have more that is due."""
        if len(self._under_way) >= _MAX_UNDER_WAY or self._under_way_bytes >= _MAX_UNDER_WAY_BYTES:
            return False
        now = self._now()
        # Another worker may have published a result in the meantime.
        oldest = now - _FORGET_AFTER_SECONDS
        self._next_tries = {
            correlation_id: later for correlation_id, later in self._next_tries.items() if later.at > oldest
        }
        skip = {
            *self._under_way,
            *self._pace.delayed(),
            *(correlation_id for correlation_id, later in self._next_tries.items() if later.at > now),
        }
        unpublished = await retry_store(lambda: self._store.unpublished(_BATCH, skip), "read the outbox")
        for outbound in unpublished:
            if not self._pace.may_go(outbound):
                continue
            correlation_id = outbound.correlation_id
            task = self._under_way[correlation_id] = asyncio.create_task(
                self._send(outbound), name=f"publish-{correlation_id}"
            )
            task.add_done_callback(self._check)
        return bool(unpublished)

    async def _send(self, outbound: Outbound) -> None:
        correlation_id = outbound.correlation_id
        self._under_way_bytes += len(outbound.value)
        try:
            if outbound.dead_letter is not None:
                await self._dead_letters.write_request(outbound.dead_letter)
            await self._producer.send(outbound.topic, outbound.key, outbound.value, outbound.headers)
        except SendError as error:
            self._try_later(correlation_id, error)
        except DeadLetterError:
            raise  # the worker stops rather than drops
        except Exception as error:  # noqa: BLE001  (it lies in this result: the others go on, rule 20)
            self._try_later(correlation_id, SendError(f"{type(error).__name__} while it is sent", retriable=False))
        else:
            self._next_tries.pop(correlation_id, None)
            self._pace.sent(outbound)
            self._metrics.published()
            self._acknowledged.append(correlation_id)
            logger.info(
                "published the result to %s (request %s)",
                outbound.topic,
                short_id(correlation_id),
                extra={"action": "published", "correlation_id": str(correlation_id)},
            )
            self._wake.set()
        finally:
            self._under_way_bytes -= len(outbound.value)
            # An acknowledged one stays under way until the store has the note: the store would hand it out again.
            if correlation_id not in self._acknowledged:
                del self._under_way[correlation_id]

    def _check(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._crash = error
            self._wake.set()

    def _try_later(self, correlation_id: UUID, error: SendError) -> None:
        now = self._now()
        if not error.retriable:
            backoff = Backoff(_LONGEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            self._next_tries[correlation_id] = _NextTry(now + _REFUSED_PAUSE_SECONDS, backoff)
            logger.error(
                "a result cannot be published: %s. It is tried again in %d s (request %s)",
                error,
                _REFUSED_PAUSE_SECONDS,
                short_id(correlation_id),
                extra={"action": "publish_refused", "correlation_id": str(correlation_id)},
            )
            return
        before = self._next_tries.get(correlation_id)
        backoff = before.backoff if before else Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._next_tries[correlation_id] = _NextTry(now + backoff.next_seconds(), backoff)
        if now - self._complained_at >= _COMPLAIN_EVERY_SECONDS:
            self._complained_at = now
            waiting = counted(len(self._next_tries), "result")
            logger.error("Kafka takes no result: %s (%s waiting)", error, waiting, extra={"action": "outbox_waits"})

    async def _note_acknowledged(self) -> None:
        acknowledged, self._acknowledged = self._acknowledged, []
        if acknowledged:
            await retry_store(lambda: self._store.published(acknowledged), "note published results")
            for correlation_id in acknowledged:
                self._under_way.pop(correlation_id, None)
