"""A steady load of runs that end by themselves and of runs that ask, whose questions are answered; and its judge."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from devtools.processes import wait_until
from tests.chaos.ledger import Execution
from tests.chaos.plan import NODES
from tests.chaos.topics import Listener, Publisher
from tests.support.kafka import KafkaTopics
from tests.support.worker import PLAIN

PER_SECOND = 12
LAST_ANSWERS_SECONDS = 60.0
GRAPHS = ("desk", "adviser", "desk", "committee")
"""Half of the runs ask a question, half of them in a graph that a node calls."""
_BEFORE_THE_QUESTION = NODES[:2]
_BEHIND_IT = NODES[2:]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the load.

    :param nodes: those that it has to run.
    :param answers: the request whose question it answers.
    """

    graph: str
    nodes: Sequence[str]
    answers: UUID | None = None

    @property
    def status(self) -> str:
        """How it has to end."""
        return "interrupted" if self.nodes == _BEFORE_THE_QUESTION else "success"


class SteadyLoad(threading.Thread):
    """Asks, and answers the questions, until it is stopped.

    :param graphs: taken in turn.
    """

    def __init__(self, kafka: KafkaTopics, listener: Listener, graphs: Sequence[str] = GRAPHS) -> None:
        super().__init__(name="steady-load", daemon=True)
        self._topic = kafka.fleet.events
        self._listener = listener
        self._graphs = itertools.cycle(graphs)
        self._publisher, self._rng = Publisher(kafka), random.Random(1)
        self._enough, self._abandoned = threading.Event(), threading.Event()
        self._questions: set[UUID] = set()
        self.asked: dict[UUID, Asked] = {}

    def run(self) -> None:
        while not self._enough.wait(1 / PER_SECOND):
            self._ask(next(self._graphs))
            self._answer()
        while self._questions and not self._abandoned.is_set():
            self._answer()
            self._publisher.poll(0.05)
        self._publisher.flush()

    def wait_for(self, count: int = 2 * PER_SECOND) -> None:
        """Until so many more requests than now are answered."""
        enough = len(self._listener.answered) + count
        wait_until("the load to flow", lambda: len(self._listener.answered) >= enough, timeout=LAST_ANSWERS_SECONDS)

    def stop_asking(self) -> None:
        """Ask and answer nothing more."""
        self._enough.set()
        self._abandoned.set()
        self.join(LAST_ANSWERS_SECONDS)

    def finish(self) -> None:
        """Ask nothing new, answer what is asked, and wait for the last result.

        :raises NotReadyError: it does not come.
        """
        self._enough.set()
        try:
            wait_until("the last question", lambda: not self.is_alive(), timeout=LAST_ANSWERS_SECONDS)
            wait_until("the last result", lambda: not self.unanswered(), timeout=LAST_ANSWERS_SECONDS)
        finally:
            self._abandoned.set()

    def unanswered(self) -> set[UUID]:
        return self.asked.keys() - self._listener.answered_ids()

    def _ask(self, graph: str) -> None:
        data = {"delays": [self._rng.randint(50, 500) for _ in NODES]}
        asked = Asked(graph, NODES if graph == "desk" else _BEFORE_THE_QUESTION)
        self._send(asked, {"event_type": "workflow.triggered", "graph": graph, "payload": {"data": data}})

    def _answer(self) -> None:
        for question in sorted(self._questions & self._listener.answered_ids()):
            self._questions.discard(question)
            found = json.loads(self._listener.results[question])
            answers = [{"interrupt_id": one["id"], "value": "yes"} for one in found.get("interrupts") or ()]
            if answers:  # else the judge finds it
                asked = Asked(self.asked[question].graph, _BEHIND_IT, question)
                self._send(asked, {"event_type": "workflow.resumed", "round": 1, "answers": answers})

    def _send(self, asked: Asked, fields: dict[str, Any]) -> None:
        event_id = uuid4()
        self.asked[event_id] = asked
        if asked.status == "interrupted":
            self._questions.add(event_id)
        event = {**PLAIN, **fields, "event_id": str(event_id)}
        self._publisher.send(self._topic, json.dumps(event).encode(), str(event_id).encode(), [])


def broken_promises(load: SteadyLoad, listener: Listener, executions: Sequence[Execution]) -> Iterator[str]:
    """What went wrong, a line each: an answer that is missing, differs or is wrong; a node that did not run."""
    done = Counter((one.correlation_id, one.node) for one in executions if one.ended is not None and not one.is_cut)
    for request_id, asked in load.asked.items():
        if request_id not in listener.results:
            yield f"{request_id} ({asked.graph}) was never answered"
            continue
        if len(listener.different[request_id]) != 1:
            yield f"{request_id} ({asked.graph}) has {len(listener.different[request_id])} different answers"
        yield from _wrong(request_id, asked, json.loads(listener.results[request_id]))
        for node in asked.nodes:
            if not done[request_id, node]:
                yield f"{request_id} ({asked.graph}) was answered, but its node {node} has not run to its end"


def _wrong(request_id: UUID, asked: Asked, result: dict[str, Any]) -> Iterator[str]:
    if result["status"] != asked.status:
        yield f"{request_id} ({asked.graph}) ended {result['status']}, not {asked.status}: {result.get('error')}"
    elif asked.status == "success":
        came_through = [step.partition(":")[0] for step in result["result"]["trail"]]
        if came_through != list(NODES):
            yield f"{request_id} ({asked.graph}) came through {came_through}"


def repeated(executions: Sequence[Execution]) -> int:
    """How many nodes ran to their end more than once: each was cut off before its end was durable."""
    done = Counter((one.correlation_id, one.node) for one in executions if one.ended is not None and not one.is_cut)
    return sum(count > 1 for count in done.values())
