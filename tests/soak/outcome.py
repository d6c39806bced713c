"""What a soak has shown: what is wrong, and its closing page for people."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from tests.chaos.fleet import Workers
from tests.chaos.ledger import Execution
from tests.chaos.topics import Listener
from tests.soak.figure_checks import CHECKS
from tests.soak.growth import DESCRIPTORS, MEMORY, ROWS, THREADS, Bound, growth
from tests.soak.interference import Interference
from tests.soak.load import Load
from tests.soak.plan import Plan
from tests.soak.samples import Sampler, Series
from tests.soak.store_tally import Tally

KEPT_LONGER = {"cancellations": "a cancel stays for as long as the events topic keeps records, a week"}
"""Tables that grow by design, for longer than a soak lasts."""
_CUT_SECONDS = 2.0  # behind a pause with --now: a node that ended then, and whose end was not written, runs again
_MOST_SHOWN = 5


@dataclass(frozen=True)
class Soaked:
    """:param store: every run that the store has had.
    :param left: how many it still has.
    :param troubles: what did not come to rest.
    :param figures: those that disagree.
    :param spans: how many came to the receiver of traces.
    """

    plan: Plan
    seconds: float
    load: Load
    listener: Listener
    interference: Interference
    sampler: Sampler
    workers: Workers
    store: Tally
    left: int
    unpublished: int
    executions: Sequence[Execution]
    troubles: Sequence[str]
    figures: Sequence[str]
    spans: int

    def grown(self) -> Iterator[tuple[str, Bound, Series]]:
        """What was measured: the processes that lived long enough for that, and the store."""
        names = {life.pid: f"worker-{life.worker}" for life in self.workers.lives}
        for pid, series in self.sampler.processes.items():
            name = f"{names.get(pid, 'a child')}, process {pid}"
            yield name, MEMORY, series.memory
            yield name, DESCRIPTORS, series.descriptors
            yield name, THREADS, series.threads
        runs = _mean(self.sampler.tables["workflow_runs"])
        for table, rows in self.sampler.tables.items():
            of_run = max(1.0, _mean(rows) / runs) if runs else 1.0
            yield f"table {table}", replace(ROWS, per_thousand=ROWS.per_thousand * of_run), rows


def _mean(series: Series) -> float:
    return sum(value for _, value in series) / len(series) if series else 0.0


def faults(soaked: Soaked) -> Iterator[str]:
    """Everything that is wrong."""
    yield from (f"a worker: {text}" for text in soaked.workers.deaths)
    yield from (f"a command: {text}" for text in soaked.interference.troubles)
    yield from (f"rest: {text}" for text in soaked.troubles)
    yield from _results(soaked)
    yield from _nodes_run_twice(soaked)
    if soaked.unpublished:
        yield f"outbox: {soaked.unpublished} results are not published"
    yield from (f"figure: {text}" for text in soaked.figures)
    for name, bound, series in soaked.grown():
        slope, is_too_steep = growth(series, bound)
        if slope is not None and is_too_steep and name.removeprefix("table ") not in KEPT_LONGER:
            yield f"growth: {name}: {bound.what} {bound.words(slope)}"


def _results(soaked: Soaked) -> Iterator[str]:
    """Each request has one result of the right kind, and nothing else has one."""
    load, listener = soaked.load, soaked.listener
    for request_id, sent in load.sent.items():
        about = f"result: {request_id} ({sent.kind}, graph {sent.graph or '-'})"
        if request_id not in listener.results:
            yield f"{about} was never answered"
            continue
        if len(listener.different[request_id]) != 1:
            yield f"{about} has {len(listener.different[request_id])} different answers"
        result = json.loads(listener.results[request_id])
        status, error_type = result["status"], result.get("error_type")
        if status not in sent.allowed or sent.allowed[status] not in (None, error_type):
            yield f"{about} ended {status}, {error_type}: {result.get('error')}"
    for request_id in listener.results.keys() - load.sent.keys():
        yield f"result: {request_id} was answered, and nothing asked for it"


def _nodes_run_twice(soaked: Soaked) -> Iterator[str]:
    """A node that has ended runs again only if its end could not be written: its process was killed, or it was cut."""
    killed = {life.pid: life.killed_at for life in soaked.workers.lives if life.killed_at is not None}
    ended: dict[tuple[UUID, str], list[Execution]] = defaultdict(list)
    for one in soaked.executions:
        if one.ended is not None and not one.is_cut:
            ended[one.correlation_id, one.node].append(one)
    for (request_id, node), several in ended.items():
        for earlier in several[:-1]:
            assert earlier.ended is not None
            is_cut = any(0 <= earlier.ended - at <= _CUT_SECONDS for at in soaked.interference.cuts)
            if earlier.pid not in killed and not is_cut:
                yield f"node: {node} of {request_id} ended in process {earlier.pid}, and ran again"


def story(soaked: Soaked) -> Iterator[str]:
    """What was done and measured, in words."""
    load, answered = soaked.load, len(soaked.listener.answered)
    results = [json.loads(body) for body in soaked.listener.results.values()]
    ended = Counter(
        f"{one['status']} ({one['error_type']})" if one.get("error_type") else one["status"] for one in results
    )
    starts = sum(row["attempts"] for row in soaked.store.runs.values())
    yield f"asked: {len(load.sent):,} requests in {soaked.seconds / 60:.1f} minutes, and answered {answered:,}"
    yield f"  of kinds: {_counts(load.counts)}"
    yield f"  ended: {_counts(ended)}"
    yield f"  starts of runs: {starts:,}; errors that were noted: {len(soaked.store.errors):,}; spans: {soaked.spans:,}"
    yield f"done to the fleet: {_counts(soaked.interference.counts)}"
    yield f"  left the store by prune: {len(soaked.store.runs) - soaked.left:,} runs"
    yield "growth, after the warm-up:"
    short = 0
    for name, bound, series in soaked.grown():
        slope, is_too_steep = growth(series, bound)
        if slope is None:
            short += 1
            continue
        kept = KEPT_LONGER.get(name.removeprefix("table "))
        verdict = f"by design: {kept}" if kept else "TOO STEEP" if is_too_steep else "flat"
        ends = f"{series[0][1]:,.0f} at first, {series[-1][1]:,.0f} at last"
        yield f"  {name}: {bound.what} {bound.words(slope)}, {ends}: {verdict}"
    if short:
        yield f"  {short} more series are too short to tell (a process that was restarted, or a short soak)"
    wrong = {text.partition(":")[0] for text in soaked.figures}
    yield f"figures: {len(CHECKS) - len(wrong)} of {len(CHECKS)} agree with the store and with Kafka"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"
