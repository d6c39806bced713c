"""How much may be unfinished in the store: what is refused then, and what stays in Kafka."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from langgraph_worker.domain.models import Backlog, Request
from langgraph_worker.intake.seen_deployments import SeenDeployments
from langgraph_worker.settings.model import WorkerSettings, env_name
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store

logger = logging.getLogger(__name__)

_COMPLAIN_EVERY_SECONDS = 30.0
_KNOWN_WITHIN_SECONDS = 86_400.0  # as long as the store keeps the graphs that a worker has announced
_UNKNOWN = "(unknown graphs)"
_Place = tuple[str, str]  # a graph and a deployment


class BacklogLimits:
    """Counts what is unfinished, by graph and deployment, over all workers. Graphs that no worker knows count as one.

    Requests that wait for their thread or for their graph hold no slot, and the intake goes on beside them: a graph
    that is held up starves no other. But no graph may fill the store.

    While one deployment uses the fleet, a full graph stops the intake: the rest waits in Kafka. Where there are
    several, that would stop all for one: each may have half of a graph's limit, its requests beyond are refused, and
    the intake stops at twice the limit.

    Answers to questions are counted apart, under the same limits: what fills a graph may be waiting for one of them.

    :param graphs: those that this worker knows.
    :param now: seconds of a monotonic clock.
    """

    def __init__(
        self,
        store: RunStore,
        settings: WorkerSettings,
        graphs: Collection[str] = (),
        seen: SeenDeployments | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._max_requests = settings.max_waiting
        self._max_bytes = settings.max_waiting_bytes
        self._graphs = self._known = frozenset(graphs)
        self._seen = seen or SeenDeployments()
        self._now = now
        self._complained_at = float("-inf")
        self._overloaded: Mapping[_Place, Backlog] = {}
        self._requests: Mapping[str, int] = {}
        self._since_look: Counter[str] = Counter()
        self._factor = 1.0
        self.is_full = False
        """Whether nothing more may be taken in but answers: as of the last look, and with what came since."""
        self.is_full_of_answers = False
        """Whether no answers may be taken in either."""

    async def look(self) -> None:
        """Count."""
        workers = await retry_store(lambda: self._store.workers(_KNOWN_WITHIN_SECONDS), "read which graphs are known")
        self._known = self._graphs.union(*(worker.graphs for worker in workers))
        self._since_look.clear()  # before the count: what comes meanwhile may count twice, until the next look
        places = self._counted(await retry_store(self._store.backlog, "count what waits"))
        for _, deployment in places:
            self._seen.see(deployment)
        several = self._seen.are_several
        factor = self._factor = 2.0 if several else 1.0
        graphs = _by_graph(places)
        self._requests = {graph: one.requests for graph, one in graphs.items()}
        full_of_answers = {g: one for g, one in graphs.items() if self._is_over(one.answers, one.answer_bytes, factor)}
        full = full_of_answers | {g: one for g, one in graphs.items() if self._is_over(one.requests, one.bytes, factor)}
        self.is_full, self.is_full_of_answers = bool(full), bool(full_of_answers)
        over = {at: one for at, one in places.items() if self._is_over(one.requests, one.bytes, 0.5)}
        self._overloaded = over if several else {}
        if (full or self._overloaded) and self._now() - self._complained_at >= _COMPLAIN_EVERY_SECONDS:
            self._complained_at = self._now()
            self._complain(full)

    def overload(self, request: Request) -> str | None:
        """Why a request is refused, as of the last look: its deployment has used up its part of the limits."""
        event = request.event
        self._seen.see(event.deployment or "")
        if event.answers:
            return None
        place = self._graph(request.graph), event.deployment or ""
        found = self._overloaded.get(place)
        if found is None:
            self._count(place[0])
            return None
        return (
            f"overloaded: {_shown(place, found)} are unfinished, which is half of {self._limits()} or more. Send the "
            "request again later, as a new one; or see what holds the graph up, or raise the limits"
        )

    def _count(self, graph: str) -> None:
        """A request is taken in. A quick flood must not pass the limit between two looks: at twice the limit, which it
        would reach as the only deployment that was seen, it stops the intake for those who come behind it.
        """
        self._since_look[graph] += 1
        if self._requests.get(graph, 0) + self._since_look[graph] >= self._max_requests * self._factor:
            self.is_full = True

    def _counted(self, backlogs: Mapping[_Place, Backlog]) -> dict[_Place, Backlog]:
        """The backlogs, with those of the unknown graphs together."""
        found: defaultdict[_Place, list[Backlog]] = defaultdict(list)
        for (graph, deployment), one in backlogs.items():
            found[self._graph(graph), deployment].append(one)
        return {place: _sum(some) for place, some in found.items()}

    def _graph(self, name: str) -> str:
        return name if name in self._known else _UNKNOWN

    def _is_over(self, requests: int, size: int, factor: float) -> bool:
        return requests >= self._max_requests * factor or size >= self._max_bytes * factor

    def _limits(self) -> str:
        requests, size = env_name("max_waiting"), env_name("max_waiting_bytes")
        return f"{requests}={self._max_requests} and {size}={self._max_bytes}"

    def _complain(self, full: Mapping[str, Backlog]) -> None:
        advice = "see what holds the graph up, give it more slots, or raise the limits"
        if full:
            sizes = [
                f"{graph}: {one.requests} requests, {one.bytes:,} bytes; {one.answers} answers, "
                f"{one.answer_bytes:,} bytes"
                for graph, one in full.items()
            ]
            logger.error(
                "no events are taken in, of any graph, except %s, until less is unfinished: %s. The limits are %s; %s",
                "none" if self.is_full_of_answers else "answers to questions",
                ", ".join(sizes),
                self._limits(),
                advice,
                extra={"action": "full"},
            )
        for place, one in self._overloaded.items():
            text = "further requests are refused as overloaded: %s are unfinished, half of %s or more; %s"
            logger.error(text, _shown(place, one), self._limits(), advice, extra={"action": "overloaded"})


def _by_graph(places: Mapping[_Place, Backlog]) -> dict[str, Backlog]:
    found: defaultdict[str, list[Backlog]] = defaultdict(list)
    for (graph, _), one in places.items():
        found[graph].append(one)
    return {graph: _sum(some) for graph, some in found.items()}


def _sum(some: Iterable[Backlog]) -> Backlog:
    parts = list(some)
    return Backlog(
        requests=sum(one.requests for one in parts),
        bytes=sum(one.bytes for one in parts),
        answers=sum(one.answers for one in parts),
        answer_bytes=sum(one.answer_bytes for one in parts),
    )


def _shown(place: _Place, found: Backlog) -> str:
    graph, deployment = place
    who = f"deployment {deployment!r}" if deployment else "plain events"
    return f"{found.requests} requests, {found.bytes:,} bytes, of graph {graph} by {who}"
