"""A steady load of every kind of request, drawn from a seed; what becomes of each is noted before it is sent."""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.chaos.record_factory import RecordFactory
from tests.chaos.sent_requests import Garbage
from tests.chaos.topics import Listener, Publisher
from tests.soak.plan import Plan
from tests.support.kafka import KafkaTopics
from tests.support.worker import PLAIN
from workflow_events.codec import encode
from workflow_events.control import WorkflowCancelledEvent

SUCCESS = {"success": None}
_CANCELLED = {"cancelled": "cancelled"}
_TICK_SECONDS = 0.05
_CONVERSATIONS = 5
_NODES = 4  # of the desk
_QUICK_MS, _SLOW_MS = 100, 2_500


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, or another record that is answered.

    :param kind: of the mix.
    :param allowed: how it may end: error types by status; None: any.
    """

    kind: str
    graph: str
    allowed: Mapping[str, str | None]


class Load(threading.Thread):
    """One thread, which alone publishes.

    :param folder: for the files in which graphs note what they have done.
    :param model_url: where ``limited`` finds its model.
    """

    def __init__(self, plan: Plan, kafka: KafkaTopics, listener: Listener, folder: Path, model_url: str) -> None:
        super().__init__(name="load", daemon=True)
        self._plan, self._fleet, self._listener, self._folder = plan, kafka.fleet, listener, folder
        self._model_url = model_url
        self._publisher = Publisher(kafka)
        self._rng = random.Random(f"soak-{plan.seed}")
        self._records = RecordFactory(plan.seed)
        self._numbers = itertools.count()
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._questions: dict[UUID, Callable[[UUID], object]] = {}
        self._goes_on, self._is_over = threading.Event(), threading.Event()
        self._lock = threading.RLock()
        self._failure: BaseException | None = None
        self.sent: dict[UUID, Sent] = {}
        self.garbage: list[Garbage] = []
        self.counts: Counter[str] = Counter()
        """By kind; ``copy`` counts requests that were sent again."""

    # ---- other threads ----

    def go_on(self) -> None:
        """Send new requests, from now on."""
        self._goes_on.set()

    def hold(self) -> None:
        """Send no new ones. What was begun goes on: answers, cancels, copies."""
        self._goes_on.clear()

    @property
    def is_settled(self) -> bool:
        """Whether it is held, nothing is still to be sent, and everything is answered."""
        if self._failure is not None:
            raise RuntimeError("the load has ended early") from self._failure
        with self._lock:
            is_open = bool(self._later or self._questions or self._goes_on.is_set())
            return not is_open and not self.unanswered()

    def unanswered(self) -> set[UUID]:
        with self._lock:
            return self.sent.keys() - self._listener.answered_ids()

    def expect(self, request_id: UUID, sent: Sent) -> None:
        """Note a request that something else sends."""
        with self._lock:
            self.sent[request_id] = sent
            self.counts[sent.kind] += 1

    def send_some(self, kind: str, count: int) -> None:
        """Requests of one kind, at once."""
        with self._lock:
            for _ in range(count):
                _KINDS[kind][1](self)
            self._publisher.flush()

    def refusable(self) -> UUID:
        """Send a request whose dead letter can be replayed; its id."""
        with self._lock:
            return self._asks("refused", "quick", {}, {"error": "model_not_allowed"}, config={"model": "gpt"})

    def stop(self) -> None:
        self._is_over.set()
        if self.ident is not None:
            self.join(30)

    # ---- its thread ----

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._failure = error
            raise

    def _run(self) -> None:
        names, weights = [*_KINDS], [weight for weight, _ in _KINDS.values()]
        due = time.monotonic()
        while not self._is_over.is_set():
            with self._lock:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    heapq.heappop(self._later)[2]()
                self._answer()
                if not self._goes_on.is_set():
                    due = now
                while due < now:
                    due += self._rng.expovariate(self._plan.per_second)
                    [kind] = self._rng.choices(names, weights)
                    _KINDS[kind][1](self)
                self._publisher.poll(0)
            self._is_over.wait(_TICK_SECONDS)
        self._publisher.flush()

    def _in(self, seconds: float, work: Callable[[], object]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), work))

    def _answer(self) -> None:
        for question in sorted(self._questions.keys() & self._listener.answered_ids()):
            self._questions.pop(question)(question)

    # ---- what it sends ----

    def _asks(self, kind: str, graph: str, data: Any, allowed: Mapping[str, str | None], **fields: Any) -> UUID:
        request_id = self._records.uuid()
        self._send(request_id, Sent(kind, graph, allowed), graph=graph, payload={"data": data}, **fields)
        return request_id

    def _send(self, request_id: UUID, sent: Sent, **fields: Any) -> None:
        number = next(self._numbers)
        deadline = datetime.now(UTC) + timedelta(seconds=self._plan.keep_seconds)
        event = {
            **PLAIN,
            "workflow_id": "soak",
            "workflow_run_id": f"soak-{number}",
            "event_id": str(request_id),
            "deadline": deadline.isoformat(),
            **fields,
        }
        self.expect(request_id, sent)
        body = json.dumps(event).encode()
        self._publisher.send(self._fleet.events, body, str(request_id).encode(), [])
        if sent.kind == "repeated":
            self._in(self._rng.uniform(0, 5), lambda: self._copy(request_id, body))

    def _copy(self, request_id: UUID, body: bytes) -> None:
        self.counts["copy"] += 1
        self._publisher.send(self._fleet.events, body, str(request_id).encode(), [])

    def _delays(self, most: int = _QUICK_MS) -> dict[str, Any]:
        return {"delays": [self._rng.randint(most // 10, most) for _ in range(_NODES)]}

    def _file(self) -> str:
        return str(self._folder / f"{next(self._numbers)}")

    def _quick(self) -> None:
        self._asks("quick", "quick", {"value": 1}, SUCCESS)

    def _desk(self) -> None:
        self._asks("desk", "desk", self._delays(), SUCCESS)

    def _repeated(self) -> None:
        self._asks("repeated", "quick", {"value": 1}, SUCCESS)

    def _asking(self) -> None:
        graph = self._rng.choice(("adviser", "committee"))
        asked = self._asks("question", graph, self._delays(), {"interrupted": None})
        if self._rng.random() < _UNANSWERED:
            self._questions[asked] = lambda question: self._in(self._rng.uniform(1, 8), lambda: self._cancel(question))
        else:
            self._questions[asked] = self._give_answer

    def _give_answer(self, question: UUID) -> None:
        found = json.loads(self._listener.results[question])
        answers = [{"interrupt_id": one["id"], "value": "yes"} for one in found.get("interrupts") or ()]
        if answers:  # else the judge finds it
            sent = Sent("answer", self.sent[question].graph, SUCCESS)
            fields = {"event_type": "workflow.resumed", "round": 1, "answers": answers, "answers_to": str(question)}
            self._send(self._records.uuid(), sent, **fields)

    def _flaky(self) -> None:
        kinds = ("429", "503", "timeout", "connection", "in_stream")
        errors = [self._rng.choice(kinds) for _ in range(self._rng.randint(1, 2))]
        self._asks("flaky", "failing", {"ledger": self._file(), "errors": errors}, SUCCESS)

    def _too_long(self) -> None:
        self._asks("too long for its model", "failing", {"ledger": self._file(), "errors": ["too_long"]}, SUCCESS)

    def _broken(self) -> None:
        data = {"ledger": self._file(), "errors": ["?"]}
        self._asks("broken", "failing", data, {"failure": None})

    def _spender(self) -> None:
        data = {"stumbles": self._file()} if self._rng.random() < _STUMBLING else {}
        self._asks("spender", "spender", data, SUCCESS)

    def _capped(self) -> None:
        self._asks("over budget", "capped", {}, {"failure": "budget_exceeded"})

    def _talk(self) -> None:
        name = f"talk-{self._rng.randrange(_CONVERSATIONS)}"
        data = {"messages": [{"role": "user", "content": "and now?"}]}
        self._asks("conversation", "talk", data, SUCCESS, thread_id=name)

    def _limited(self) -> None:
        """Some at once: more than the model may be asked then."""
        for _ in range(self._rng.randint(1, 6)):
            self._asks("limited model", "limited", {"url": self._model_url, "model": "slow"}, SUCCESS)

    def _cancelled_early(self) -> None:
        request_id = self._records.uuid()
        self._cancel(request_id)
        sent = Sent("cancelled before it came", "desk", _CANCELLED)
        self._in(2.0, lambda: self._send(request_id, sent, graph="desk", payload={"data": self._delays()}))

    def _cancelled(self) -> None:
        allowed = {**_CANCELLED, **SUCCESS}
        request_id = self._asks("cancelled", "desk", self._delays(_SLOW_MS), allowed)
        self._in(self._rng.uniform(0, 3), lambda: self._cancel(request_id))

    def _late(self) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=self._rng.uniform(0.5, 3))
        data = {"delays": [4_000] * _NODES}
        self._asks("late", "desk", data, {"timeout": "deadline"}, deadline=deadline.isoformat())

    def _garbage(self) -> None:
        found = self._records.garbage()
        self.garbage.append(found)
        self.counts["garbage"] += 1
        if found.waiter is not None:
            self.sent[found.waiter] = Sent("garbage", "", {"error": found.error_type})
        self._publisher.send(self._fleet.events, found.value, b"garbage-%d" % len(self.garbage), found.headers)

    def _cancel(self, request_id: UUID) -> None:
        self.counts["cancel"] += 1
        sent = encode(WorkflowCancelledEvent(correlation_id=request_id, reason="soak"))
        self._publisher.send(self._fleet.control, sent.value, sent.key, sent.headers)


_UNANSWERED = 0.25
"""Of the questions: they are withdrawn by a cancel, as that of a task in Airflow that has waited too long."""
_STUMBLING = 0.4

_KINDS: Mapping[str, tuple[int, Callable[[Load], None]]] = {
    "quick": (22, Load._quick),
    "desk": (14, Load._desk),
    "question": (10, Load._asking),
    "flaky": (8, Load._flaky),
    "too long": (2, Load._too_long),
    "broken": (4, Load._broken),
    "spender": (8, Load._spender),
    "capped": (4, Load._capped),
    "talk": (8, Load._talk),
    "limited": (2, Load._limited),
    "cancelled early": (3, Load._cancelled_early),
    "cancelled": (4, Load._cancelled),
    "late": (3, Load._late),
    "repeated": (4, Load._repeated),
    "garbage": (4, Load._garbage),
}
"""The mix: how often, and what."""
