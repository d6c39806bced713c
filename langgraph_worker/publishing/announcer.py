"""Announces this worker and its graphs on the graphs topic: best effort. No run waits for it or fails for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from langgraph_worker.broker.port import Producer, SendError
from langgraph_worker.domain.known_graphs import SEEN_WITHIN_SECONDS
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.errors import StoreError
from langgraph_worker.store.port import RunStore
from workflow_events.announcements import (
    ANNOUNCE_SECONDS,
    GraphAnnouncement,
    WorkerAnnouncement,
    worker_key,
)
from workflow_events.codec import encode
from workflow_events.errors import EncodeError, MessageTooLargeError
from workflow_events.headers import build

logger = logging.getLogger(__name__)

_LIMIT_SET_BY = "LANGGRAPH_WORKER_MAX_MESSAGE_BYTES"
_SCHEMAS_EVERY_SECONDS = 24 * 3600.0  # the topic keeps a record for a week


@dataclass(frozen=True, slots=True)
class AnnouncedWorker:
    """What is announced of a worker, beside its graphs.

    :param info: what the fleet may know of it.
    :param topic: where it is announced.
    :param default_graph: the graph of a request that names none.
    :param release: which version of the project it has.
    :param grace_seconds: how long a request waits for a graph that no worker knows.
    :param max_bytes: the largest record.
    """

    info: WorkerInfo
    topic: str
    default_graph: str | None
    release: str | None
    grace_seconds: float
    max_bytes: int


class Announcer:
    """Writes the worker's record every :data:`ANNOUNCE_SECONDS`, those of its graphs once a day, and takes the worker's
    record back when it stops.

    :param describe: its graphs; called once, in a thread.
    :param now: seconds of a monotonic clock.
    """

    def __init__(
        self,
        producer: Producer,
        store: RunStore,
        worker: AnnouncedWorker,
        describe: Callable[[], Sequence[GraphAnnouncement]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._producer = producer
        self._store = store
        self._worker = worker
        self._describe = describe
        self._now = now
        self._graphs: list[GraphAnnouncement] = []
        self._written_at: dict[str, float] = {}
        self._too_large: set[str] = set()
        self._fleet: frozenset[str] = frozenset()
        self._unchanged_since = now()
        self._is_in_trouble = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Announce until :meth:`stop`. Never fails."""
        try:
            self._graphs = list(await asyncio.to_thread(self._describe))
            while not self._stop.is_set():
                await self._announce_or_complain()
                await self._pause()
            await self._send(self._key, None, build(None, "worker.announced"))
        except Exception as error:
            if not self._stop.is_set():
                logger.exception("the graphs are not announced: %s", error, extra={"action": "no_announcements"})

    def stop(self) -> None:
        """Take the worker's record back, in :meth:`run`. Idempotent."""
        self._stop.set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _announce_or_complain(self) -> None:
        try:
            await self._announce()
        except StoreError:
            return  # a worker that cannot see the others does not speak for them; the housekeeping reports the store
        except (SendError, EncodeError, MessageTooLargeError) as error:
            if not self._is_in_trouble:
                logger.warning(
                    "the graphs are not announced, and operators with check_graph check nothing: %s",
                    error,
                    extra={"action": "no_announcements"},
                )
            self._is_in_trouble = True
        else:
            self._is_in_trouble = False

    async def _announce(self) -> None:
        """The graphs first: a worker's record names theirs."""
        fleet = await self._look_at_fleet()
        for graph in self._graphs:
            await self._write_schemas(graph)
        worker = self._worker
        await self._write(
            WorkerAnnouncement(
                worker_id=worker.info.worker_id,
                events_topic=worker.info.events_topic,
                graphs={one.graph: None if one.graph in self._too_large else one.digest for one in self._graphs},
                default_graph=worker.default_graph,
                release=worker.release,
                version=worker.info.version,
                fleet=sorted(fleet),
                steady=self._now() - self._unchanged_since >= worker.grace_seconds,
            )
        )

    async def _look_at_fleet(self) -> Collection[str]:
        info = self._worker.info
        seen = await self._store.workers(SEEN_WITHIN_SECONDS)
        fleet = frozenset(one.worker_id for one in seen if one.events_topic == info.events_topic) | {info.worker_id}
        if fleet != self._fleet:
            self._fleet, self._unchanged_since = fleet, self._now()
        return fleet

    async def _write_schemas(self, graph: GraphAnnouncement) -> None:
        written = self._written_at.get(graph.graph)
        if graph.graph in self._too_large or (written is not None and self._now() - written < _SCHEMAS_EVERY_SECONDS):
            return
        try:
            await self._write(graph)
        except (SendError, MessageTooLargeError, EncodeError) as error:
            if isinstance(error, SendError) and not error.too_large:
                raise
            self._too_large.add(graph.graph)
            logger.warning(
                "graph %s is announced without its schemas: %s", graph.graph, error, extra={"action": "no_schemas"}
            )
        self._written_at[graph.graph] = self._now()

    async def _write(self, message: WorkerAnnouncement | GraphAnnouncement) -> None:
        encoded = encode(message, max_bytes=self._worker.max_bytes, limit_set_by=_LIMIT_SET_BY)
        await self._send(encoded.key, encoded.value, encoded.headers)

    async def _send(self, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        await self._producer.send(self._worker.topic, key, value, headers)

    @property
    def _key(self) -> bytes:
        return worker_key(self._worker.info.events_topic, self._worker.info.worker_id).encode()
