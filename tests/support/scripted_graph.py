"""Graphs that are scripts, and the run of one by a worker: just enough of LangGraph to tell who wrote what on a thread.

What LangGraph keeps in checkpoints is here a row a write, in a table of its own beside the store's, put there as the
saver puts its statements: in the transaction that checks the lease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import Column, Integer, MetaData, String, Table

from langgraph_worker.domain.models import Claim
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from tests.support.machine_checkpoints import new_checkpoint, put_statement
from workflow_events.results import Interrupt, ResultStatus, WorkflowResultEvent

Node = tuple[int, ...]
"""How many questions a node asks at once, each time that it asks."""

GRAPHS: Mapping[str, Sequence[Node]] = {
    "line": ((), (), ()),
    "asks": ((), (1,), ()),
    "again": ((1, 1), ()),  # LangGraph gives a node's second question the id of its first
    "both": ((2,), ()),
    "same": ((1,), (1,)),  # as with NodeInterrupt, each of whose questions has the same id, in every run
}

WRITES = Table(
    "machine_writes",
    MetaData(),
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("thread", String, nullable=False),
    Column("token", Integer, nullable=False),
    Column("worker", String, nullable=False),
    Column("correlation_id", String, nullable=False),
    Column("logical_run", String, nullable=False),
    Column("turn", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("place", Integer, nullable=False),
    Column("question", String),
)
_COLUMNS = [column.name for column in WRITES.c if column.name != "seq"]


@dataclass(frozen=True)
class Write:
    """A row. ``turn``: from one input to the end; ``place``: the node's, in the script."""

    thread: str
    token: int
    worker: str
    correlation_id: str
    logical_run: str
    turn: str
    kind: str  # start, ask, answer, node
    place: int
    question: str | None = None

    def statement(self, mark: str) -> Statement:
        sql = f"INSERT INTO machine_writes ({', '.join(_COLUMNS)}) VALUES ({', '.join([mark] * len(_COLUMNS))})"
        return Statement(sql, [tuple(getattr(self, name) for name in _COLUMNS)], many=False)


@dataclass(frozen=True)
class Put:
    """The next thing to write."""

    write: Write
    checkpoint: PutCheckpoint
    id: str | None = None  # the checkpoint's; an answer is none of its own


@dataclass
class GraphRun:
    """A worker's run of a claim. It knows its thread as it was when it began, as LangGraph does.

    :param lost: the store has told it that its lease is void.
    """

    claim: Claim
    mark: str
    turn: str = ""
    written: list[Write] = field(default_factory=list)  # of its turn
    given: dict[str, JsonValue] = field(default_factory=dict)  # answers that are still to be applied
    waits: bool = False
    over: str = ""
    noted: bool = False
    before: int = 0  # how much of it an earlier start has written
    lost: bool = False

    @property
    def id(self) -> UUID:
        return self.claim.correlation_id

    def begin(self, thread: Sequence[Write]) -> None:
        """Take up the thread, as :func:`langgraph_worker.execution.thread_position.find_position` does."""
        claim = self.claim
        if not thread or thread[-1].logical_run != str(claim.logical_run):
            if claim.event.answers:
                self.over = "interrupt_not_pending"
            self.turn = f"{claim.logical_run}/{claim.correlation_id}/{claim.lease.token}"
            return
        self.turn = thread[-1].turn
        self.written = list(takewhile(lambda write: write.turn == self.turn, reversed(thread)))[::-1]
        self.before = len(self.written)
        asked = self.open_questions()
        self.given = {name: value for name, value in claim.answers.items() if name in asked}
        self.waits = bool(asked) and self._has_asked() and not claim.event.answers

    def next(self) -> Put | WorkflowResultEvent:
        """What the graph does next: a write, or its end."""
        if self.over:
            return self.result(ResultStatus.ERROR, error=self.over, error_type=self.over)
        if self.waits:
            return self._interrupted()
        if not self.written:
            return self._put("start", -1)
        for question in self.given:
            return self._put("answer", self.place, question)
        if self.place == len(self._script):
            return self.result(ResultStatus.SUCCESS, result=self.story())
        if self.open_questions():
            return self._interrupted() if self._has_asked() else self._put("ask", self.place)
        return self._put("node", self.place)

    def wrote(self, put: Put) -> None:
        """It is durable."""
        self.written.append(put.write)
        self.noted = self.noted or put.checkpoint.progress
        if put.write.question is not None:
            del self.given[put.write.question]

    @property
    def has_progressed(self) -> bool:
        """Whether this start has written a checkpoint."""
        return any(write.kind != "answer" for write in self.written[self.before :])

    @property
    def place(self) -> int:
        return sum(write.kind == "node" for write in self.written)

    def open_questions(self) -> list[str]:
        """The ids that the node at this place has asked, or is about to ask."""
        if self.place == len(self._script):
            return []
        answers = [write.question for write in self.written if write.kind == "answer" and write.place == self.place]
        for count in self._script[self.place]:
            asker = "same" if self.claim.graph == "same" else f"{self.turn}:{self.place}"
            ids = [f"{asker}:{number}" for number in range(count)]
            if any(name not in answers for name in ids):
                return [name for name in ids if name not in answers]
            for name in ids:
                answers.remove(name)
        return []

    def story(self) -> dict[str, Any]:
        """Who did what in this turn."""
        return {"turn": self.turn, "by": [write.correlation_id for write in self.written if write.kind != "answer"]}

    def result(self, status: ResultStatus, **rest: Any) -> WorkflowResultEvent:
        """As the executor makes one."""
        event = self.claim.event
        return WorkflowResultEvent(
            correlation_id=event.event_id,
            workflow_id=event.workflow_id,
            workflow_run_id=event.workflow_run_id,
            status=status,
            thread_id=self.claim.thread_id,
            attempts=self.claim.attempts,
            worker_id=self.claim.worker_id,
            **rest,
        )

    @property
    def _script(self) -> Sequence[Node]:
        return GRAPHS[self.claim.graph]

    def _has_asked(self) -> bool:
        """What is open was asked, and this is in a checkpoint."""
        return self.written[-1].kind == "ask"

    def _interrupted(self) -> WorkflowResultEvent:
        asked = [Interrupt(id=name, value="?") for name in self.open_questions()]
        return self.result(ResultStatus.INTERRUPTED, result=self.story(), interrupts=asked)

    def _put(self, kind: str, place: int, question: str | None = None) -> Put:
        claim = self.claim
        write = Write(
            claim.thread_id,
            claim.lease.token,
            claim.worker_id,
            str(claim.correlation_id),
            str(claim.logical_run),
            self.turn,
            kind,
            place,
            question,
        )
        # As the saver does: a checkpoint is progress where owners vanished, or errors were repeated; an answer is none
        # yet.
        progress = (claim.takeovers > 0 or bool(claim.retried)) and not self.noted and kind != "answer"
        answers = () if question is None else (question,)
        statements, checkpoint = [write.statement(self.mark)], None
        if kind != "answer":
            checkpoint = new_checkpoint()
            statements.append(put_statement(claim.thread_id, checkpoint, self.mark))
        return Put(write, PutCheckpoint(claim, statements, progress, answers), checkpoint)
