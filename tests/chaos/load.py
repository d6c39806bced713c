"""Asks steadily and in bursts, and does what Airflow and people do meanwhile: retries, clears, cancels, repeats."""

from __future__ import annotations

import heapq
import itertools
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from tests.chaos.plan import Plan
from tests.chaos.record_factory import RecordFactory
from tests.chaos.sent_requests import SentRequest, SentRequests
from tests.chaos.topics import Listener, Publisher
from tests.support.kafka import KafkaTopics
from workflow_events.codec import ControlMessage, encode
from workflow_events.control import WorkflowCancelledEvent, WorkflowQueryEvent, WorkflowSupersededEvent

MOST_OPEN = 400
"""Requests without an answer: the load waits then, as Airflow's pools do."""
_CONVERSATIONS = 20
_THIRD = 3
_TICK_SECONDS = 0.02
LAST_ANSWERS_SECONDS = 90.0
"""Seconds without a new answer after which what is unanswered stays so."""
_SOME_NEVER_START = 1.12
"""Requests sent for each that is to run: some are cancelled in time, or answered from what was stored."""


class Load:
    """One thread, which alone publishes.

    :param calm: set once no further fault comes: the load ends then, if enough has succeeded.
    """

    def __init__(
        self, plan: Plan, kafka: KafkaTopics, sent_requests: SentRequests, listener: Listener, calm: threading.Event
    ) -> None:
        self._plan = plan
        self._kafka = kafka
        self._sent_requests = sent_requests
        self._listener = listener
        self._calm = calm
        self._rng = random.Random(f"load-{plan.seed}")
        self._letters = RecordFactory(plan.seed)
        self._publisher = Publisher(kafka)
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._number = itertools.count()
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._failure: BaseException | None = None
        self._abandoned = threading.Event()
        self.started_at = 0.0
        self._rate = plan.runs * _SOME_NEVER_START / plan.seconds

    def start(self) -> None:
        self.started_at = time.monotonic()
        self._thread.start()

    def join(self) -> None:
        """Wait for its end.

        :raises BaseException: whatever ended it early.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """Let it end soon, whatever is still to come. Harmless once it has ended."""
        self._abandoned.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def order(self, work: Callable[[], object]) -> None:
        """Have it done in the load's thread, and wait for that."""
        done = threading.Event()

        def do() -> None:
            work()
            done.set()

        self._orders.put(do)
        while not done.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError("the load has ended early")

    def open(self) -> list[SentRequest]:
        """Requests without an answer, oldest first."""
        answered = self._listener.answered
        with self._sent_requests.lock:
            return [one for one in self._sent_requests.requests.values() if one.id not in answered]

    # ---- its thread ----

    def _run(self) -> None:
        try:
            self._ask_until_calm()
            if not self._abandoned.is_set():
                self._publisher.flush()
        except BaseException as error:  # noqa: BLE001 - told by join()
            self._failure = error

    def _ask_until_calm(self) -> None:
        allowance, asked_at, burst_at = 0.0, time.monotonic(), 0.0
        while self._goes_on() or self._later:
            now = time.monotonic()
            self._do_what_is_due(now)
            if self._goes_on():
                # Half of it steadily, the other half at once now and then.
                if self._sent_requests.size - len(self._listener.answered) < MOST_OPEN:
                    allowance = min(allowance + (now - asked_at) * self._rate, self._rate * 15)
                count = int(allowance) if now >= burst_at else int(self._rng.random() < self._rate / 2 * _TICK_SECONDS)
                if now >= burst_at:
                    burst_at = now + self._rng.uniform(5, 12)
                for _ in range(min(count, int(allowance))):
                    allowance -= 1
                    self._ask()
            asked_at = now
            if self._abandoned.is_set():
                return
            self._publisher.poll(_TICK_SECONDS)

    def _goes_on(self) -> bool:
        if not self._calm.is_set():
            return True
        # Not what was asked: the slower the machine, the more is cancelled or superseded before it starts.
        is_stuck = time.monotonic() - self._listener.newest_at > LAST_ANSWERS_SECONDS
        return self._listener.succeeded < self._plan.runs and not is_stuck

    def _do_what_is_due(self, now: float) -> None:
        while not self._orders.empty():
            self._orders.get()()
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()

    def _in(self, seconds: float, work: Callable[[], object]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._number), work))

    def _ask(self) -> None:
        ways = (self._plain, self._talk, self._first, self._retried, self._cleared, self._cancelled, self._forestalled)
        [way] = self._rng.choices(ways, (44, 12, 14, 12, 5, 10, 3))
        asked = way()
        if self._rng.random() < 0.06:
            self._in(self._rng.uniform(0, 15), lambda: self.publish(asked))
        if self._rng.random() < 0.04:
            self._litter()
        if self._rng.random() < 0.01:
            self._query()

    def _plain(self) -> SentRequest:
        return self._new(self._letters.plain())

    def _talk(self) -> SentRequest:
        return self._new(self._letters.plain(f"conversation-{self._rng.randrange(_CONVERSATIONS)}"))

    def _first(self) -> SentRequest:
        return self._new(self._letters.first())

    def _retried(self) -> SentRequest:
        """A newer attempt comes while the older one waits, runs, or has ended; sometimes one between them is late."""
        first = self._new(self._letters.first())
        is_late = self._rng.random() < 0.25
        newer = self._rng.uniform(0, 2.0)
        self._in(newer, lambda: self.supersede(first, is_clear=False, tries=2 if is_late else 1))
        if is_late:
            self._in(newer + self._rng.uniform(0.1, 3), lambda: self._be_late(first))
        return first

    def _cleared(self) -> SentRequest:
        first = self._new(self._letters.first())
        self._in(self._rng.uniform(0, 4), lambda: self.supersede(first, is_clear=True))
        return first

    def _cancelled(self) -> SentRequest:
        asked = self._new(self._rng.choice((self._letters.plain, self._letters.first))())
        self._in(self._rng.uniform(0, 2), lambda: self.cancel(asked))
        return asked

    def _forestalled(self) -> SentRequest:
        """The cancel comes before its request."""
        asked = self._letters.plain()
        self._sent_requests.add(asked)
        self.cancel(asked)
        self._in(self._rng.uniform(0.2, 2), lambda: self.publish(asked))
        return asked

    # ---- what the faults order, too ----

    def supersede(self, older: SentRequest, *, is_clear: bool, tries: int = 1) -> None:
        """Publish a newer attempt of its task, and announce it, in either order; unless it has one already."""
        if older.newer is not None:
            return
        newer = self._letters.again(older, "clear" if is_clear else "retry", tries)
        older.newer = newer.id
        attempt = newer.event.attempt
        assert attempt is not None
        first = self._rng.random() < 0.5
        if first:
            self._steer(WorkflowSupersededEvent(attempt=attempt))
        older.history.append((time.time(), f"superseded by {newer.id}, {newer.relation}"))
        self._new(newer)
        if not first:
            self._steer(WorkflowSupersededEvent(attempt=attempt))

    def clear(self, several: Sequence[SentRequest]) -> None:
        """Publish a clear of each."""
        for asked in several:
            self.supersede(asked, is_clear=True)

    def cancel(self, asked: SentRequest) -> None:
        now = time.time()
        asked.cancelled_at = asked.cancelled_at or now
        asked.history.append((now, "cancel sent"))
        self._sent_requests.counts["cancels"] += 1

        def acknowledged() -> None:
            asked.cancel_acknowledged_at = asked.cancel_acknowledged_at or time.time()
            asked.history.append((time.time(), "cancel acknowledged"))

        self._steer(WorkflowCancelledEvent(correlation_id=asked.id, reason="chaos"), acknowledged)

    def burst(self, count: int) -> list[SentRequest]:
        """First attempts of new tasks, at once."""
        return [self._first() for _ in range(count)]

    def flush(self) -> None:
        """Wait until the broker has all that was sent."""
        self._publisher.flush()

    def publish(self, asked: SentRequest) -> None:
        """Publish a request, again the second time."""
        now = time.time()
        asked.sent_at = asked.sent_at or now
        asked.copies += 1
        asked.history.append((now, "published" if asked.copies == 1 else "published again"))
        sent = asked.encoded
        self._publisher.send(self._kafka.fleet.events, sent.value, sent.key, sent.headers)

    # ----

    def _new(self, asked: SentRequest) -> SentRequest:
        self._sent_requests.add(asked)
        self.publish(asked)
        return asked

    def _be_late(self, first: SentRequest) -> None:
        """Publish the second try, if the third was there before it."""
        newest = self._sent_requests.requests[first.newer].event.attempt if first.newer else None
        if newest is not None and newest.try_number == _THIRD:
            self._new(self._letters.again(first, "late"))

    def _litter(self) -> None:
        found = self._letters.garbage()
        key = self._sent_requests.drop(found)
        self._publisher.send(self._kafka.fleet.events, found.value, key, found.headers)

    def _query(self) -> None:
        answered = list(self._listener.answered)
        if answered:
            self._sent_requests.counts["queries"] += 1
            wanted = [self._rng.choice(answered) for _ in range(3)]
            self._steer(WorkflowQueryEvent(query_id=uuid4(), correlation_ids=wanted))

    def _steer(self, message: ControlMessage, acknowledged: Callable[[], None] = lambda: None) -> None:
        sent = encode(message)
        self._publisher.send(self._kafka.fleet.control, sent.value, sent.key, sent.headers, acknowledged)
