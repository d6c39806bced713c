"""``python -m tests.support.crashing FOLDER run``: workers, one at a time, that kill themselves where a test says.

It imports everything once, and for each file ``FOLDER/N.start``, N from 0, forks a worker that writes to ``N.log``; its
exit status is left in ``N.ended``. The trap is set by a file ``FOLDER/trap`` of one line, ``POINT NTH ABOUT``: at the
n-th passage of that point on behalf of a request whose id, or whose record, contains ABOUT, the worker gets SIGKILL.
Passages count from when the file is there; without one these are workers as any other.

A point is ``before:CALL``, ``after:CALL`` (done, before its caller goes on), ``inside:CALL`` (in the transaction after
its statements, before it is committed), or ``heard:CALL`` (the broker has acknowledged it, and the worker's own thread
for that is all that knows).
"""

from __future__ import annotations

import functools
import gc
import inspect
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import langgraph_worker.graphs.project
import langgraph_worker.runtime.process  # noqa: F401 - what `run` imports late
from langgraph_worker.broker.kafka.events import EventConsumer
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.broker.port import Batch
from langgraph_worker.checkpoints.saver import RunSaver
from langgraph_worker.cli.command_line import main
from langgraph_worker.domain.models import Accepted, Claim, Decision, Refusal, Request
from langgraph_worker.execution.step_recorder import StepRecorder
from langgraph_worker.intake.batch_queue import BatchQueue
from langgraph_worker.publishing import republish_pace
from langgraph_worker.publishing.dead_letters import PREFIX
from langgraph_worker.store.sql import accept, claims, expiry, leases, run_writes, unpublished
from langgraph_worker.store.sql.batch_decision import correlation_of
from langgraph_worker.store.sql.run_store import SqlRunStore

About = Iterable[object] | None
"""On whose behalf a point is passed: ids, keys, bodies. None: only one can be meant."""

_KINDS = {
    run_writes.RememberNodes: "remember_nodes",
    run_writes.PutCheckpoint: "put_checkpoint",
    run_writes.PutMemory: "put_memory",
    run_writes.RecordSteps: "record",
    run_writes.Finish: "finish",
    run_writes.Release: "release",
    run_writes.BackOff: "back_off",
}
_HAS_RESULT = frozenset({Decision.DUPLICATE, Decision.REFUSED, Decision.ANSWERED, Decision.LATE})


def hook(
    owner: Any,
    name: str,
    before: Callable[..., None] = lambda *arguments: None,
    after: Callable[..., None] = lambda found, *arguments: None,
) -> None:
    """Call ``before`` ahead of a function or coroutine, and ``after`` behind it; each gets its positional arguments."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        before(*arguments)
        found = original(*arguments, **named)
        after(found, *arguments)
        return found

    @functools.wraps(original)
    async def call_later(*arguments: Any, **named: Any) -> Any:
        before(*arguments)
        found = await original(*arguments, **named)
        after(found, *arguments)
        return found

    setattr(owner, name, call_later if inspect.iscoroutinefunction(original) else call)


class Trap:
    """Where this process ends.

    :param file: see the module.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._guard = threading.Lock()
        self._count = 0
        # What this process has accepted, and stored a result of, or was asked for it again.
        self._accepted: set[object] = set()
        self._stored: set[object] = set()
        # By call, what the broker was sent and has not acknowledged.
        self._sent: dict[str, list[list[object]]] = {"commit": [], "send": [], "write": []}

    def passes(self, point: str, about: About) -> None:
        """The process is at this point."""
        with self._guard:
            try:
                wanted, nth, target = self._file.read_text().split()
            except FileNotFoundError:
                return
            if wanted != point or (about is not None and not any(target in str(one) for one in about)):
                return
            self._count += 1
            if self._count == int(nth):
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, about: Callable[..., About]) -> None:
        """Points before and after a method, which is about the same both times."""
        hook(
            owner,
            name,
            lambda _, *arguments: self.passes(f"before:{name}", about(*arguments)),
            lambda found, _, *arguments: self.passes(f"after:{name}", about(*arguments)),
        )

    def inside(self, owner: Any, name: str, about: Callable[..., About]) -> None:
        """A point after the statements of a transaction. ``about`` gets what they found, and what they were given."""
        hook(owner, name, after=lambda found, *given: self.passes(f"inside:{name}", about(found, *given)))

    # ---- from the poll to the commit ----

    def set_in_intake(self) -> None:
        hook(BatchQueue, "offer", lambda _, batch: self.passes("before:offer", _records(batch)))
        self.around(SqlRunStore, "accept", lambda batch: map(correlation_of, batch))
        hook(SqlRunStore, "accept", after=self._note_accepted)
        self.inside(accept, "accept", lambda found, *_: _ids(found))
        self.around(EventConsumer, "commit", _records)
        hook(EventConsumer, "commit", lambda _, batch: self._sent["commit"].append(_records(batch)))
        hook(EventConsumer, "_on_commit", lambda *_: self._hears("commit"), lambda *_: self._sent["commit"].clear())

    def _note_accepted(self, found: list[Accepted], store: SqlRunStore, batch: Sequence[Request | Refusal]) -> None:
        self._accepted |= set(_ids(found))
        self._stored |= {one.correlation_id for one in found if one.decision in _HAS_RESULT}

    def _hears(self, *calls: str) -> None:
        for call in calls:
            for about in list(self._sent[call]):
                self.passes(f"heard:{call}", about)

    # ---- from the claim to the stored result ----

    def set_in_runs(self) -> None:
        hook(
            SqlRunStore,
            "claim",
            lambda *_: self.passes("before:claim", self._accepted),
            lambda found, *_: self.passes("after:claim", _ids(found)),
        )
        self.inside(claims, "claim", lambda found, *_: _ids(found))
        self.around(RunSaver, "aget_tuple", lambda _: None)
        self.around(SqlRunStore, "put_checkpoint", lambda write: [write.claim.correlation_id])
        for name in ("remember_nodes", "record", "release", "back_off", "finish"):
            self.around(SqlRunStore, name, lambda claim, *_: [claim.correlation_id])
        hook(SqlRunStore, "finish", after=self._note_finished)
        hook(run_writes, "apply", after=self._applied)
        self.around(SqlRunStore, "renew", lambda *_: None)
        self.inside(leases, "renew", lambda *_: None)
        self.inside(leases, "void_all", lambda *_: None)
        hook(StepRecorder, "see", lambda steps, *_: self.passes("before:see", [steps._claim.correlation_id]))
        hook(os, "fsync", after=lambda *_: self.passes("inside:node", None))  # a node's, of its ledger

    def _note_finished(self, kept: bool, store: SqlRunStore, claim: Claim, *_: object) -> None:
        self._stored.add(claim.correlation_id)

    def _applied(self, found: list[bool], connection: object, batch: Sequence[run_writes.Write], *_: object) -> None:
        for write in batch:
            self.passes(f"inside:{_KINDS[type(write)]}", [write.claim.correlation_id])

    # ---- from the stored result, or the refused record, to the note that the broker has it ----

    def set_in_replies(self) -> None:
        hook(
            SqlRunStore,
            "unpublished",
            lambda *_: self.passes("before:unpublished", self._stored),
            lambda found, *_: self.passes("after:unpublished", _ids(found)),
        )
        hook(
            SqlRunStore,
            "expire",
            lambda *_: self.passes("before:expire", self._accepted),
            lambda found, *_: self.passes("after:expire", None if found else ()),
        )
        self.inside(expiry, "expire", lambda found, *_: None if found else ())
        hook(AckProducer, "send", self._sends, self._has_sent)
        hook(AckProducer, "_report", lambda producer: self._hears("send", "write") if producer._reports else None)
        self.around(SqlRunStore, "published", lambda ids: ids)
        self.inside(unpublished.ResultsToPublish, "published", lambda _, box, connection, ids, now: ids)

    def _sends(self, producer: AckProducer, topic: str, *message: Any) -> None:
        self.passes(f"before:{_sent_as(message)}", message)
        self._sent[_sent_as(message)].append(list(message))

    def _has_sent(self, _: None, producer: AckProducer, topic: str, *message: Any) -> None:
        self._sent[_sent_as(message)].remove(list(message))
        self.passes(f"after:{_sent_as(message)}", message)


def _ids(found: Sequence[Any]) -> list[object]:
    return [one.correlation_id for one in found]


def _records(batch: Batch) -> list[object]:
    return [part for record in batch.records for part in (record.value, record.headers)]


def _sent_as(message: Sequence[Any]) -> str:
    """A result is sent, a dead letter is written."""
    *_, headers = message
    return "write" if any(name.startswith(PREFIX) for name, _ in headers) else "send"


def put(file: Path, content: object) -> None:
    """Write a file that is whole as soon as it is there."""
    scratch = file.with_name(f"{file.name}.new")
    scratch.write_text(str(content))
    scratch.rename(file)


def work(folder: Path, number: int, arguments: list[str]) -> int:
    """Be a worker: the forked process's part."""
    log = os.open(folder / f"{number}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    republish_pace.LEAST_PAUSE_SECONDS = 0.05  # else each request that a killed worker leaves is waited for
    trap = Trap(folder / "trap")
    trap.set_in_intake()
    trap.set_in_runs()
    trap.set_in_replies()
    return main(arguments)


def serve(folder: Path, arguments: list[str]) -> int:
    """Fork workers until killed; in a worker, its exit code."""
    gc.freeze()
    for number in itertools.count():
        while not (folder / f"{number}.start").exists():
            time.sleep(0.005)
        child = os.fork()
        if child == 0:
            return work(folder, number, arguments)
        put(folder / f"{number}.pid", child)
        _, status = os.waitpid(child, 0)
        put(folder / f"{number}.ended", os.waitstatus_to_exitcode(status))
    raise AssertionError


if __name__ == "__main__":
    raise SystemExit(serve(Path(sys.argv[1]), sys.argv[2:]))
