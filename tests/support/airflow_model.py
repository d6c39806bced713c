"""Airflow's side of a fleet: tasks, their tries and what they publish; and of Kafka, the order of what is published.

The identity of a request comes from the provider's own code (:func:`attempt_of`, :func:`note_returned`). What a try is
to the tries before it, the model simply knows; a worker has to find it out from a few numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid5

from airflow_provider_langgraph.requests.task_identity import attempt_of, note_returned
from langgraph_worker.domain.models import Request
from tests.support.run_store import Clock, answer, event, origin
from tests.support.ti_ids import ti_id
from workflow_events.identity import NAMESPACE, correlation_id, lineage_key, plain_lineage_key
from workflow_events.models import Attempt, WorkflowEvent

DEPLOYMENT = "here"
SKEW = (0, 5)  # seconds that the clocks of Airflow's hosts are ahead
RECREATED_AFTER = 6  # seconds from a try to a DAG run that starts anew: more than the clocks are apart

Order = tuple[int, int]
"""When an attempt came into being, by no clock: the number of its try among all tries, and of its replay."""


@dataclass(frozen=True)
class Asked:
    """A published request, and what only Airflow knows of it.

    :param key: the record's, within which Kafka keeps the order.
    :param epoch: how often its task was cleared or re-created before.
    :param hidden: it follows a clear that Airflow may not let a worker see (the limits in the docs).
    """

    request: Request
    key: str
    order: Order = (0, 0)
    epoch: int = 0
    hidden: str = ""

    @property
    def event(self) -> WorkflowEvent:
        return self.request.event

    @property
    def id(self) -> UUID:
        return self.event.event_id

    @property
    def attempt(self) -> Attempt | None:
        return self.event.attempt

    @property
    def lineage(self) -> str:
        attempt = self.attempt
        return plain_lineage_key(self.id) if attempt is None else lineage_key(attempt.task, attempt.agent)

    def __str__(self) -> str:
        a = self.attempt
        who = "plain" if a is None else f"{a.task[:4]}/{a.agent} try {a.try_number} of {a.max_tries}"
        if a is not None:
            who += f" r{a.replay}" * bool(a.replay) + " returned" * a.returned
        what = {one.interrupt_id: one.value for one in self.event.answers} or self.event.payload.data
        return f"{str(self.id)[:6]} ({who}; {self.request.graph} {what} on {self.event.thread_id or 'its own'})"


class StateStore(dict[str, Any]):
    """Airflow's task state store (3.3 and newer)."""

    def set(self, key: str, value: object, *, retention: object) -> None:
        self[key] = value


@dataclass
class Try:
    """One try of a task instance; the clocks' part of its id is whatever its host's clock said."""

    id: UUID
    number: int
    max_tries: int
    run_start: datetime
    born: int
    epoch: int
    hidden: str = ""
    dead: bool = False  # its process ended before it published
    sent: list[Asked] = field(default_factory=list)
    answered: int = 0  # rounds


@dataclass
class Task:
    """A task instance of one DAG run, or of the one that took its name.

    :param retries: as the DAG's file says now.
    :param ask: the input, as the DAG's file says now; for a task that answers questions, the answers.
    """

    name: str
    graph: str
    agents: Sequence[str]
    thread: str | None
    on_retry: str
    on_clear: str
    retries: int
    ask: Mapping[str, Any]
    state: StateStore | None
    answers: bool
    to: UUID | None  # the request that its answers name
    tries: list[Try] = field(default_factory=list)
    succeeded: bool = False

    @property
    def now(self) -> Try:
        return self.tries[-1]


class Airflow:
    """An Airflow installation of several hosts.

    :ivar priority: of what is published from now on.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._born = 0
        self._plain = 0
        self.priority = 0
        self.tasks: list[Task] = []
        self.excuses: set[str] = set()

    # ---- tasks and their tries ----

    def add(self, graph: str, *, host: int = 0, old: bool = False, answers: bool = False, **fields: Any) -> Task:
        """A task whose first try begins. ``old``: of an Airflow without a task state store."""
        values: dict[str, Any] = {
            "name": f"task{len(self.tasks)}",
            "graph": graph,
            "agents": ("default",),
            "thread": None,
            "on_retry": "resume",
            "on_clear": "restart",
            "retries": 2,
            "ask": {"ask": 0},
            "state": None if old else StateStore(),
            "answers": answers,
            "to": None,
        }
        task = Task(**values | fields)
        self.tasks.append(task)
        self._begin(task, 1, task.retries, self._clock.now, 0, host)
        return task

    def may_retry(self, task: Task) -> bool:
        return not task.succeeded and task.now.number <= task.now.max_tries

    def retry(self, task: Task, host: int) -> None:
        """The try failed, or was lost; whatever it has published is out."""
        last = task.now
        self._begin(task, last.number + 1, last.max_tries, last.run_start, last.epoch, host, last.hidden)

    def clear(self, task: Task, host: int, *, run_ended: bool, running: bool) -> None:
        """Clear the task: of a DAG run that had ended, or while its process was running."""
        last = task.now
        start, most, hidden = last.run_start, last.number + task.retries, ""
        if run_ended:
            self._clock.advance(RECREATED_AFTER)
            start = self._clock.now
        elif running:
            most, hidden = last.max_tries, "cleared while it ran"
        self._begin(task, last.number + 1, most, start, last.epoch + 1, host, hidden)

    def recreate(self, task: Task, host: int, first: int) -> None:
        """Delete the DAG run and create one of its name. ``first``: the first try that gets to publish."""
        self._clock.advance(RECREATED_AFTER)
        epoch, start = task.now.epoch + 1, self._clock.now
        if task.state is not None:
            task.state.clear()
        for number in range(1, first + 1):
            self._begin(task, number, task.retries, start, epoch, host)
            task.now.dead = number < first

    def _begin(
        self, task: Task, number: int, most: int, start: datetime, epoch: int, host: int, hidden: str = ""
    ) -> None:
        self._born += 1
        at = self._clock.now + timedelta(seconds=SKEW[host])
        milliseconds = int(at.timestamp() * 1000)
        salt = self._born * 7919 % 65_536  # within a millisecond ids have no order
        task.tries.append(Try(ti_id(milliseconds, salt), number, most, start, self._born, epoch, hidden))
        task.succeeded = False

    def end(self, task: Task, *, success: bool, stored: bool = True) -> None:
        """The newest try has its results. ``stored``: Airflow also kept what it returned."""
        if success:
            note_returned(self._context(task, task.now))
            task.succeeded = stored
            task.now.hidden = task.now.hidden if stored else "failed after it returned"

    # ---- what they publish ----

    def publish(self, task: Task, one: Try) -> list[Asked]:
        """The requests of a try; the same ones again if it is executed again."""
        if not one.sent:
            attempt = attempt_of(self._context(task, one), on_retry=task.on_retry, on_clear=task.on_clear)  # type: ignore[arg-type]
            one.sent = [
                self._asked(task, one, self._event(task, attempt.model_copy(update={"agent": agent})))
                for agent in task.agents
            ]
        return one.sent

    def answer(self, task: Task, agent: str, given: Mapping[str, Any]) -> Asked:
        """The newest try answers what its agent asks."""
        one = task.now
        one.answered += 1
        [attempt] = [asked.attempt for asked in one.sent if asked.attempt and asked.attempt.agent == agent]
        sent = answer(attempt, dict(given), by=task.name, round=one.answered, thread_id=task.thread)
        return self._asked(task, one, sent)

    def replay(self, dead: Asked, number: int) -> Asked:
        """A dead letter once more, as a request of its own."""
        assert dead.attempt is not None
        self._plain += 1
        again = {
            "event_id": uuid5(NAMESPACE, f"replay {self._plain} of {dead.id}"),
            "attempt": dead.attempt.model_copy(update={"replay": number}),
        }
        request = Request(dead.event.model_copy(update=again), dead.request.graph, "workflow-results", origin())
        return Asked(request, dead.key, (dead.order[0], number), dead.epoch, dead.hidden)

    def plain(
        self,
        graph: str,
        thread: str | None = None,
        *,
        given: Mapping[str, Any] | None = None,
        to: UUID | None = None,
        dag: str = "dag",
        seconds: float | None = None,
    ) -> Asked:
        """A request of no task; with ``given`` it answers ``to`` a request. ``seconds``: until its deadline."""
        self._plain += 1
        fields: dict[str, Any] = {
            "event_id": uuid5(NAMESPACE, f"plain {self._plain}"),
            "thread_id": thread,
            "priority": self.priority,
        }
        if seconds is not None:
            fields["deadline"] = self._clock.now + timedelta(seconds=seconds)
        sent = (
            event(None, data={"ask": 0}, **fields)
            if given is None
            else answer(None, dict(given), workflow_id=dag, answers_to=to, **fields)
        )
        request = Request(sent, graph if given is None else "", "workflow-results", origin())
        return Asked(request, thread or str(sent.event_id))

    def _event(self, task: Task, attempt: Attempt) -> WorkflowEvent:
        name = {"thread_id": task.thread, "event_id": correlation_id(attempt.id, attempt.agent)}
        if task.answers:
            return answer(attempt, dict(task.ask), by=task.name, answers_to=task.to, **name)
        return event(attempt, data=dict(task.ask), **name)

    def _asked(self, task: Task, one: Try, sent: WorkflowEvent) -> Asked:
        sent = sent.model_copy(update={"priority": self.priority})
        request = Request(sent, "" if sent.answers else task.graph, "workflow-results", origin())
        return Asked(request, task.name, (one.born, 0), one.epoch, one.hidden)

    def _context(self, task: Task, one: Try) -> Any:
        ti = SimpleNamespace(
            id=one.id,
            dag_id="dag",
            run_id="run",
            task_id=task.name,
            map_index=-1,
            try_number=one.number,
            max_tries=one.max_tries,
        )
        context = {"ti": ti, "dag_run": SimpleNamespace(start_date=one.run_start)}
        return context if task.state is None else context | {"task_state_store": task.state}


class Topic:
    """The events topic: within a key in order, across keys in any, and from any place again."""

    def __init__(self) -> None:
        self._records: dict[str, list[Asked]] = {}
        self._next: dict[str, int] = {}

    def publish(self, asked: Asked) -> None:
        self._records.setdefault(asked.key, []).append(asked)
        self._next.setdefault(asked.key, 0)

    def waiting(self) -> list[str]:
        """The keys with records that no worker has read."""
        return [key for key, records in self._records.items() if self._next[key] < len(records)]

    def take(self, key: str) -> Asked:
        self._next[key] += 1
        return self._records[key][self._next[key] - 1]

    def behind(self, key: str) -> list[Asked]:
        """The records of a key that no worker has read in their order, which stay there."""
        return self._records[key][self._next[key] :]

    def read(self) -> list[str]:
        """The keys with records that were read before."""
        return [key for key in self._records if self._next[key]]

    def rewind(self, key: str, count: int) -> None:
        """Read the last records again, and what follows them."""
        self._next[key] = max(0, self._next[key] - count)
