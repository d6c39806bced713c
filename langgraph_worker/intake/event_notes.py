"""What the senders of accepted requests should know: fields without effect, and a graph that no worker serves."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

from langgraph_worker.domain.known_graphs import SEEN_WITHIN_SECONDS, known_in_words
from langgraph_worker.domain.models import Request, WorkerInfo
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from workflow_events.plain_text import one_line

logger = logging.getLogger(__name__)

_KNOWN_WITHIN_SECONDS = 86_400.0  # as long as the store keeps the graphs that a worker has announced
_COMPLAIN_EVERY_SECONDS = 600.0  # about one field: a sender repeats its mistake with each event
_MOST_FIELDS = 1_000  # that are remembered


class EventNotes:
    """Finds what to say of accepted requests.

    :param graphs: those that this worker serves.
    :param grace_seconds: how long a request waits for a graph that no worker serves.
    :param now: seconds of a monotonic clock.
    """

    def __init__(
        self,
        store: RunStore,
        graphs: Collection[str],
        grace_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._graphs = frozenset(graphs)
        self._grace_seconds = grace_seconds
        self._now = now
        self._complained: OrderedDict[str, float] = OrderedDict()

    async def of(self, requests: Collection[Request]) -> dict[str, str]:
        """Why graphs of these requests cannot start now, by their names; without those of this worker."""
        asked = {request.graph for request in requests if request.graph} - self._graphs
        if not asked:
            return {}
        asked -= _graphs(await self._workers(SEEN_WITHIN_SECONDS))
        known = _graphs(await self._workers(_KNOWN_WITHIN_SECONDS)) | self._graphs if asked else set()
        return {name: self._unserved(name, known) for name in asked}

    def about(self, request: Request, unserved: dict[str, str]) -> list[str]:
        """The notes about one request; they are written to this worker's log too.

        :param unserved: see :meth:`of`.
        """
        fields = [str(field) for field in request.unknown]
        origin = request.origin
        where = f"{origin.topic}[{origin.partition}]@{origin.offset}"
        for text in fields:
            if self._may_complain(text):
                logger.warning("%s: %s", where, text, extra={"action": "unknown_field"})
        graph = [unserved[request.graph]] if request.graph in unserved else []
        for text in graph:
            logger.warning("%s: %s", where, text, extra={"action": "graph_unserved"})
        return graph + fields

    async def _workers(self, within_seconds: float) -> Sequence[WorkerInfo]:
        return await retry_store(lambda: self._store.workers(within_seconds), "read which graphs are served")

    def _unserved(self, name: str, known: Collection[str]) -> str:
        shown = one_line(name)
        if name in known:
            return (
                f"no worker that serves graph {shown!r} runs now: the request waits for one until its deadline. Start "
                "one; its log says what stops it"
            )
        return (
            f"no worker serves a graph named {shown!r} so far. {known_in_words(name, known)} The request waits "
            f"{self._grace_seconds:g} s for one, then ends as unknown_graph"
        )

    def _may_complain(self, text: str) -> bool:
        now, last = self._now(), self._complained.get(text)
        if last is not None and now - last < _COMPLAIN_EVERY_SECONDS:
            return False
        self._complained[text] = now
        self._complained.move_to_end(text)
        if len(self._complained) > _MOST_FIELDS:
            self._complained.popitem(last=False)
        return True


def _graphs(workers: Sequence[WorkerInfo]) -> set[str]:
    return {graph for worker in workers for graph in worker.graphs}
