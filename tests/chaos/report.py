"""The figures at the end, and the history of what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from tests.chaos.evidence import Evidence, seconds
from tests.chaos.fleet import Life
from tests.chaos.ledger import Execution
from tests.chaos.request_checks import Violation, header
from tests.chaos.sent_requests import SentRequests
from tests.chaos.topics import Listener

MOST_MEMORY_BYTES = 256 * 2**20
"""Resident bytes of one worker: about twice what it has after its start."""
MOST_GROWTH_BYTES = 2 * 2**20
"""Resident bytes in a minute, over a process's life without its first minute."""
_WARM_UP_SECONDS = 60.0
_LONG_ENOUGH_SECONDS = 180.0
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Memory:
    """:param growth: bytes a minute of the steepest long life; None if no process lived long enough to tell."""

    most: int
    growth: float | None

    @classmethod
    def measured(cls, lives: Sequence[Life]) -> Memory:
        most = max((size for life in lives for _, size in life.memory), default=0)
        slopes = [slope for life in lives if (slope := _slope(life)) is not None]
        return cls(most, max(slopes, default=None))

    def __str__(self) -> str:
        growth = "no process lived long enough" if self.growth is None else f"{self.growth / 2**20:+.2f} MiB a minute"
        return f"at most {self.most / 2**20:.0f} MiB; steepest growth: {growth}"

    def verdicts(self) -> Iterator[Violation]:
        rule = "memory stays bounded"
        if self.most > MOST_MEMORY_BYTES:
            yield Violation(rule, None, f"a worker had {self.most / 2**20:.0f} MiB")
        if self.growth is not None and self.growth > MOST_GROWTH_BYTES:
            yield Violation(rule, None, f"a worker grew by {self.growth / 2**20:.2f} MiB a minute")


def _slope(life: Life) -> float | None:
    """Least squares, in bytes a minute."""
    points = [(at, size) for at, size in life.memory if at >= life.started_at + _WARM_UP_SECONDS]
    if not points or points[-1][0] - points[0][0] < _LONG_ENOUGH_SECONDS - _WARM_UP_SECONDS:
        return None
    mean_at = sum(at for at, _ in points) / len(points)
    mean_size = sum(size for _, size in points) / len(points)
    above = sum((at - mean_at) * (size - mean_size) for at, size in points)
    return 60 * above / sum((at - mean_at) ** 2 for at, _ in points)


@dataclass(frozen=True)
class Story:
    """All that is known of a request, for a person."""

    sent_requests: SentRequests
    evidence: Evidence
    executions: Sequence[Execution]
    over: dict[str, float]
    folder: Path

    def lines(self, request_id: UUID) -> Iterator[str]:
        """Line by line, in order of time where there is one."""
        row = self.evidence.runs.get(request_id)
        yield "  store: " + (", ".join(f"{name}={_short(value)}" for name, value in row.items()) if row else "no row")
        asked = self.sent_requests.requests.get(request_id)
        lines = list(asked.history) if asked else []
        logical_run = row["logical_run"] if row else None
        for one in self.executions:
            if one.correlation_id == request_id or (logical_run and one.logical_run == logical_run):
                about = f"{one.node}, step {one.step}, process {one.pid}, {one.name[:8]}, for {one.correlation_id}"
                lines.append((one.began, f"began {about}"))
                lines.append((self.over[one.name], f"{'cut' if one.is_cut else 'over'} {about}"))
        checkpoints = [one for one in self.evidence.checkpoints if logical_run and one.logical_run == logical_run]
        lines += [(one.committed, f"checkpoint {one.id} of step {one.step} durable") for one in checkpoints]
        yield from (f"  {_clock(at)} {text}" for at, text in sorted(lines))
        for message in self.evidence.results.get(request_id, ()):
            yield f"  result at {message.partition()}@{message.offset()}: {(message.value() or b'')[:300]!r}"
        yield from self._logged(request_id)

    def _logged(self, request_id: UUID) -> Iterator[str]:
        for path in sorted(self.folder.glob("worker-*/worker.log")):
            with path.open(errors="replace") as log:
                yield from (f"  {path.parent.name}: {line.rstrip()[:240]}" for line in log if str(request_id) in line)


def explain(violations: Sequence[Violation], story: Story) -> Iterator[str]:
    """What went wrong: each rule with its first offenders, and the history of the very first."""
    counts = Counter(found.rule for found in violations)
    for rule, count in counts.items():
        yield f"VIOLATED {count} times: {rule}"
        first = [found for found in violations if found.rule == rule][:_MOST_SHOWN]
        yield from (f"  {found.request_id or ''} {found.text}" for found in first)
        named = next((found.request_id for found in first if found.request_id is not None), None)
        if named is not None:
            yield f"  the history of {named}:"
            yield from (f"  {line}" for line in story.lines(named))


def figures(
    sent_requests: SentRequests, evidence: Evidence, listener: Listener, executions: Sequence[Execution]
) -> Iterator[str]:
    """What was asked, and what became of it."""
    rows = evidence.runs.values()
    ended = Counter(f"{row['result_status']}{'/' + row['error_type'] if row['error_type'] else ''}" for row in rows)
    decided = Counter(row["decision"] for row in rows)
    started = sum(row["attempts"] > 0 for row in rows)
    waits = sorted(
        at - asked.sent_at
        for request_id, at in listener.answered.items()
        if (asked := sent_requests.requests.get(request_id)) and asked.sent_at
    )
    requests, garbage = len(sent_requests.requests), len(sent_requests.garbage)
    yield f"asked: {requests} requests ({_counts(sent_requests.counts)}), {garbage} garbage"
    yield f"decided: {_counts(decided)}"
    yield f"ended: {_counts(ended)}"
    yield f"started: {started} runs, {len(executions)} node executions"
    yield f"taken over or given back: {sum(max(0, row['attempts'] - 1) for row in rows)} times"
    repeats = sum(len(messages) - 1 for messages in evidence.results.values())
    yield f"results: {len(evidence.results)} and {repeats} identical repeats; dead letters: {_letters(evidence)}"
    if waits:
        yield f"answered after: median {waits[len(waits) // 2]:.1f} s, longest {waits[-1]:.1f} s"


def lost_races(sent_requests: SentRequests, evidence: Evidence) -> str:
    """How cancels went."""
    late = []
    cancelled = before = 0
    for asked in sent_requests.requests.values():
        row = evidence.runs.get(asked.id)
        if asked.cancelled_at is None or row is None:
            continue
        if row["result_status"] == "cancelled":
            cancelled += 1
        elif seconds(row["finished_at"]) <= asked.cancelled_at:
            before += 1
        else:
            late.append(seconds(row["finished_at"]) - asked.cancelled_at)
    longest = f", the longest {max(late):.3f} s after it was sent" if late else ""
    return f"cancels: {cancelled} ended cancelled, {before} had ended before, {len(late)} ended on the way{longest}"


def met_inside(evidence: Evidence, executions: Sequence[Execution], over: dict[str, float]) -> str:
    """Of runs that were ended from outside: how many had a node at work then."""
    met: Counter[str] = Counter()
    for one in executions:
        row = evidence.runs[one.correlation_id]
        if row["result_status"] == "cancelled" and one.began <= seconds(row["finished_at"]) < over[one.name]:
            met[row["error_type"]] += 1
    return f"ended from outside while a node was at work: {_counts(met)}"


def _letters(evidence: Evidence) -> str:
    return _counts(Counter(header(message, "dead-letter-error-type") for message in evidence.letters))


def _counts(counts: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def _short(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, (bytes, memoryview)) else str(value)
