"""Publishing stored results until the broker has acknowledged them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from uuid import UUID

from langgraph_worker.deadletters import DeadLetters
from langgraph_worker.kafka.port import Producer, SendError
from langgraph_worker.patience import persist
from langgraph_worker.store.port import Outbound, RunStore

logger = logging.getLogger(__name__)

_BATCH = 200
_MOST_UNDER_WAY = 2_000
_MOST_BYTES = 64_000_000  # under way
_LOOK_EVERY = 1.0  # seconds: results of runs that others ended, or whose next try is due
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_REFUSED_PAUSE = 60.0
_STALE = 120.0  # seconds after its time that nobody missed a result
_COMPLAIN_EVERY = 15.0


@dataclass(frozen=True, slots=True)
class _Later:
    """When a result is tried again, and how long it waits for that."""

    at: float
    pause: float


class Outbox:
    """Sends what the store says is unpublished. Each result goes by itself: one that waits holds back no other."""

    def __init__(self, store: RunStore, producer: Producer, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._producer = producer
        self._wake = asyncio.Event()
        self._stopping = False
        self._under_way: dict[UUID, asyncio.Task[None]] = {}
        self._later: dict[UUID, _Later] = {}
        self._acknowledged: list[UUID] = []
        self._bytes = 0
        self._complained = -_COMPLAIN_EVERY
        self._crash: BaseException | None = None

    def wake(self) -> None:
        """There is a new result."""
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
        """Let :meth:`run` return; what is under way goes on."""
        self._stopping = True
        self._wake.set()

    async def flush(self) -> None:
        """After :meth:`run`: send what is there, try nothing twice. What Kafka does not take stays in the store."""
        await self._start_sending()
        while self._under_way and self._crash is None:
            await asyncio.wait(self._under_way.values(), return_when=asyncio.FIRST_COMPLETED)
            await self._note_acknowledged()
            await self._start_sending()
        await self._note_acknowledged()

    async def _rest(self) -> None:
        waiting = asyncio.create_task(self._wake.wait())
        await asyncio.wait({waiting}, timeout=_LOOK_EVERY)
        waiting.cancel()

    async def _start_sending(self) -> bool:
        """Send what is due; whether there may be more to send at once."""
        if len(self._under_way) >= _MOST_UNDER_WAY or self._bytes >= _MOST_BYTES:
            return False
        now = time.monotonic()
        # Another worker may have published it in the meantime.
        self._later = {of: later for of, later in self._later.items() if later.at > now - _STALE}
        skip = {*self._under_way, *(of for of, later in self._later.items() if later.at > now)}
        found = await persist(lambda: self._store.unpublished(_BATCH, skip), "read the outbox")
        for outbound in found:
            of = outbound.correlation_id
            task = self._under_way[of] = asyncio.create_task(self._send(outbound), name=f"publish-{of}")
            task.add_done_callback(self._check)
        return bool(found)

    async def _send(self, outbound: Outbound) -> None:
        of = outbound.correlation_id
        self._bytes += len(outbound.value)
        try:
            if outbound.dead_letter is not None:
                await self._dead_letters.write_request(outbound.dead_letter)
            await self._producer.send(outbound.topic, outbound.key, outbound.value, outbound.headers)
        except SendError as error:
            self._try_later(of, error)
        else:
            self._later.pop(of, None)
            self._acknowledged.append(of)
            logger.info(
                "published the result of %s to %s",
                of,
                outbound.topic,
                extra={"action": "published", "correlation_id": str(of)},
            )
            self._wake.set()
        finally:
            self._bytes -= len(outbound.value)
            # Until the store knows, it would be found again.
            if of not in self._acknowledged:
                del self._under_way[of]

    def _check(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._crash = error
            self._wake.set()

    def _try_later(self, of: UUID, error: SendError) -> None:
        now = time.monotonic()
        if not error.retriable:
            self._later[of] = _Later(now + _REFUSED_PAUSE, _REFUSED_PAUSE)
            logger.error(
                "the result of %s cannot be published and is tried again in %d s: %s",
                of,
                _REFUSED_PAUSE,
                error,
                extra={"action": "publish_refused", "correlation_id": str(of)},
            )
            return
        before = self._later.get(of)
        pause = min(before.pause * 2, _LONGEST_PAUSE) if before else _FIRST_PAUSE
        self._later[of] = _Later(now + pause, pause)
        if now - self._complained >= _COMPLAIN_EVERY:
            self._complained = now
            logger.error("results wait for Kafka (%d): %s", len(self._later), error, extra={"action": "outbox_waits"})

    async def _note_acknowledged(self) -> None:
        done, self._acknowledged = self._acknowledged, []
        if done:
            await persist(lambda: self._store.published(done), "note published results")
            for of in done:
                self._under_way.pop(of, None)
