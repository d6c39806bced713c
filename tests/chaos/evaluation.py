"""All that happened, all the judges on it, and what people get to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.evidence import Evidence
from tests.chaos.faults import Faults
from tests.chaos.fleet import Workers
from tests.chaos.ledger import Execution, ends
from tests.chaos.plan import Plan
from tests.chaos.report import Memory, Story, explain, figures, lost_races, met_inside
from tests.chaos.request_checks import Judge, Violation
from tests.chaos.sent_requests import SentRequests
from tests.chaos.topics import Listener
from tests.chaos.writer_checks import Writers, longest_pause


@dataclass(frozen=True)
class Happened:
    """What one proof left.

    :param seconds: from the first request to the last answer.
    :param codes: the workers' exit codes after SIGTERM.
    """

    plan: Plan
    folder: Path
    sent_requests: SentRequests
    listener: Listener
    workers: Workers
    faults: Faults
    evidence: Evidence
    executions: Sequence[Execution]
    seconds: float
    codes: Sequence[int]

    @property
    def started(self) -> int:
        """Requests that ran at all."""
        return sum(row["attempts"] > 0 for row in self.evidence.runs.values())


@dataclass(frozen=True)
class Judgement:
    """:param writers: after its verdicts, with what it counted."""

    violations: Sequence[Violation]
    writers: Writers
    memory: Memory


def judge(happened: Happened) -> Judgement:
    """Every violation of every rule."""
    faults, workers = happened.faults, happened.workers
    judge = Judge(happened.sent_requests, happened.evidence, faults.windows, faults.snapshots)
    writers = Writers(happened.executions, happened.evidence, workers.lives, faults.windows)
    memory = Memory.measured(workers.lives)
    found = [*judge.verdicts(), *writers.verdicts(), *memory.verdicts(), *_conduct(happened)]
    return Judgement(found, writers, memory)


def _conduct(happened: Happened) -> Iterator[Violation]:
    """Whether the workers behaved, and the proof proved what it was to."""
    for death in happened.workers.deaths:
        yield Violation("no worker ends by itself", None, death)
    for code in filter(None, happened.codes):
        yield Violation("SIGTERM ends a worker in order", None, f"exit code {code}")
    if happened.started < happened.plan.runs:
        yield Violation("enough runs", None, f"only {happened.started} started")
    if happened.plan.clears and not happened.faults.cleared_while_full:
        yield Violation("clears come while every slot is full", None, "every slot never was")


def report(happened: Happened, judgement: Judgement) -> Iterator[str]:
    """The figures, then what went wrong."""
    over = ends(happened.executions, happened.workers.lives)
    evidence, executions, writers = happened.evidence, happened.executions, judgement.writers
    pause, whose = longest_pause(executions, over)
    again = ", ".join(f"{count} after {reason}" for reason, count in sorted(writers.again.items())) or "none"
    in_flight = sum(count for _, count in writers.of_kill.values())
    yield f"{happened.started / happened.seconds:.1f} runs/s over {happened.seconds:.0f} s"
    yield from figures(happened.sent_requests, evidence, happened.listener, executions)
    yield lost_races(happened.sent_requests, evidence)
    yield met_inside(evidence, executions, over)
    yield f"clears while every slot was full: {happened.faults.cleared_while_full}"
    yield f"killed: {len(writers.of_kill)} processes with {in_flight} nodes in flight"
    yield f"nodes that ran again: {again}"
    yield f"of stopped owners: {writers.overlaps} overlaps, {len(writers.woken)} nodes begun while they woke up"
    for one in writers.woken[:5]:
        yield f"  {one.node}, step {one.step}, of {one.correlation_id}, in process {one.pid} at {one.began:.3f}"
    yield f"longest pause of a run: {pause:.1f} s ({whose})"
    yield f"memory of a worker: {judgement.memory}"
    story = Story(happened.sent_requests, evidence, executions, over, happened.folder)
    yield from explain(judgement.violations, story)
