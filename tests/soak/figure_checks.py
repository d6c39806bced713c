"""For each figure of ``/metrics``: what in the store, or in Kafka, it has to agree with. A test finds those without.

Counters are compared for the second part of the soak, in which no process is killed: by how much they have risen over
all processes, whose last pages are written when they end, with what has come into the store and into Kafka meanwhile.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_worker import __version__
from langgraph_worker.domain.faults import FAULTS
from langgraph_worker.telemetry import figures
from langgraph_worker.telemetry.figures import Figure
from tests.soak.pages import Labels, Page, risen, values
from tests.soak.plan import CONCURRENCY, SLOW_MODEL
from tests.soak.store_tally import Tally

Check = Callable[["Found"], Iterator[str]]

_BY_STORE = ("cancelled", "timeout")
"""Statuses with which the store ends a run as well, without its worker: those runs are in no counter of ended runs."""
_TROUBLE = ("store_trouble", "starts_over")
_LIVELY_SECONDS = 120.0  # LANGGRAPH_WORKER_HANG_SECONDS: behind it the process ends
_TOLERANCE_USD = 1e-9


@dataclass(frozen=True)
class Still:
    """A moment at which nothing moves: load held, some runs held in their first node, others waiting behind a pause.

    :param waiting, running: in the store, by graph.
    :param pages: of the workers, once they had looked at the store again.
    """

    waiting: Mapping[str, int]
    running: Mapping[str, int]
    unpublished: int
    paused: int
    lag: int
    pages: Sequence[Page]


@dataclass(frozen=True)
class Found:
    """What there is to compare.

    :param pages: of each process: at the beginning of the second part, and its last one.
    :param store: what has come into the store in the second part.
    :param letters: dead letters of it, by error type.
    :param published: records of the results topic of it.
    :param copies: requests of it that were sent once more.
    :param stills: a busy moment, and the end.
    """

    pages: Sequence[tuple[Page | None, Page]]
    store: Tally
    letters: Counter[str]
    published: int
    copies: int
    stills: Sequence[Still]

    def risen(self, figure: Figure, part: str = "") -> Counter[Labels]:
        return risen(self.pages, figure, part)

    def by_graph(self, figure: Figure, part: str = "") -> Counter[Labels]:
        """Over all labels but the first."""
        total: Counter[Labels] = Counter()
        for labels, value in self.risen(figure, part).items():
            total[labels[:1]] += value
        return total

    def rows(self, which: Callable[[Mapping[str, Any]], bool], *labels: str) -> Counter[Labels]:
        """How many runs there are, by these columns."""
        chosen = (row for row in self.store.runs.values() if row["graph"] is not None and which(row))
        return Counter(tuple(str(row[label]) for label in labels) for row in chosen)


def _same(what: str, counted: Mapping[Any, float], expected: Mapping[Any, float]) -> Iterator[str]:
    for key in sorted({*counted, *expected}):
        if counted.get(key, 0) != expected.get(key, 0):
            yield f"{', '.join(key)}: counted {counted.get(key, 0):g}, but {what} {expected.get(key, 0):g}"


def _requests(found: Found) -> Iterator[str]:
    counted = found.risen(figures.REQUESTS)
    copies = sum(counted.pop(labels) for labels in [*counted] if labels[1] == "duplicate")
    yield from _same("the store has", counted, found.rows(lambda row: True, "graph", "decision"))
    if copies < found.copies:  # more, if partitions have moved in between
        yield f"counted {copies} duplicates, but {found.copies} were sent"


def _refused(found: Found) -> Iterator[str]:
    by_intake = {fault.name for fault in FAULTS if fault.dead_letter} - {"worker_lost"}
    letters = Counter({(name,): count for name, count in found.letters.items() if name in by_intake})
    yield from _same("there are dead letters:", found.risen(figures.REFUSED), letters)


def _starts(found: Found) -> Iterator[str]:
    expected: Counter[Labels] = Counter()
    for row in found.store.runs.values():
        if row["attempts"]:
            expected[row["graph"], "first"] += 1
            expected[row["graph"], "again"] += row["attempts"] - 1
    yield from _same("the rows' attempts are", found.risen(figures.STARTS), +expected)


def _runs(found: Found) -> Iterator[str]:
    counted = found.risen(figures.RUNS)
    stored = found.rows(lambda row: row["attempts"] > 0, "graph", "result_status")
    by_store = Counter({labels: count for labels, count in stored.items() if labels[1] in _BY_STORE})
    yield from _same(
        "the store has",
        {labels: count for labels, count in counted.items() if labels[1] not in _BY_STORE},
        {labels: count for labels, count in stored.items() if labels[1] not in _BY_STORE},
    )
    for labels, count in counted.items():
        if labels[1] in _BY_STORE and count > by_store[labels]:
            yield f"{', '.join(labels)}: counted {count:g}, but the store has only {by_store[labels]}"


def _run_seconds(found: Found) -> Iterator[str]:
    yield from _same("ended", found.risen(figures.RUN_SECONDS, "_count"), found.by_graph(figures.RUNS))


def _given_back(found: Found) -> Iterator[str]:
    """Each start comes to its end, or is given back. What ended from outside is given back, too."""
    over = found.by_graph(figures.RUNS)
    over.update(found.by_graph(figures.GIVEN_BACK))
    yield from _same("ended or given back are", found.by_graph(figures.STARTS), over)
    counted = found.risen(figures.GIVEN_BACK)
    outside = found.rows(lambda row: row["result_status"] in _BY_STORE and row["attempts"] > 0, "graph")
    for (graph, reason), count in counted.items():
        if reason in _TROUBLE:
            yield f"{graph}, {reason}: counted {count:g}, although nothing was wrong"
        if reason == "ended_outside" and count > outside[graph,]:
            yield f"{graph}, {reason}: counted {count:g}, but only {outside[graph,]} were ended from outside"
    backed_off = {labels[:1]: count for labels, count in counted.items() if labels[1] == "backs_off"}
    yield from _same("repeated are", backed_off, found.by_graph(figures.RETRIES))


def _retries(found: Found) -> Iterator[str]:
    store = found.store
    repeated = (row for row in store.errors.values() if row["wait_seconds"] is not None)
    rows = Counter((store.graph_of(row), row["error_class"]) for row in repeated)
    yield from _same("workflow_errors has", found.risen(figures.RETRIES), rows)


def _dead_letters(found: Found) -> Iterator[str]:
    letters = Counter({(name,): count for name, count in found.letters.items()})
    yield from _same("the topic has", found.risen(figures.DEAD_LETTERS), letters)


def _published(found: Found) -> Iterator[str]:
    yield from _same("the topic has", found.risen(figures.PUBLISHED), {(): found.published} if found.published else {})


def _tokens(found: Found) -> Iterator[str]:
    stored = {key: count for key, count in found.store.usage().items() if key[1] != "cost" and count}
    yield from _same("the store's runs have spent", found.risen(figures.TOKENS), stored)


def _cost(found: Found) -> Iterator[str]:
    stored = {model: float(cost) for (model, kind), cost in found.store.usage().items() if kind == "cost"}
    counted = {labels[0]: cost for labels, cost in found.risen(figures.COST).items()}
    for model in sorted({*counted, *stored}):
        there, here = stored.get(model, 0.0), counted.get(model, 0.0)
        if not math.isclose(here, there, rel_tol=1e-6, abs_tol=_TOLERANCE_USD):
            yield f"{model}: counted {here:.9f}, but the store's runs have spent {there:.9f}"


def _turn_seconds(found: Found) -> Iterator[str]:
    """No row says how long a call waited; only which models are limited, or have refused calls."""
    counted = found.risen(figures.TURN_SECONDS)
    refusing: set[Labels] = {(SLOW_MODEL,), *found.risen(figures.RATE_LIMITED)}
    for labels in counted:
        if labels not in refusing:
            yield f"{labels[0]}: calls were held back, though it is not limited and has refused none"


def _rate_limited(found: Found) -> Iterator[str]:
    """Each 429 ends its start of the run, so it is a row."""
    refused = Counter((row["model"],) for row in found.store.errors.values() if row["error_class"] == "rate_limit")
    counted: Counter[Labels] = Counter()
    for (model,), count in found.risen(figures.RATE_LIMITED).items():
        counted[(model.partition(":")[2] or model,)] += count
    yield from _same("workflow_errors has", counted, refused)


def _budget_stops(found: Found) -> Iterator[str]:
    rows = found.rows(lambda row: row["error_type"] == "budget_exceeded", "graph")
    yield from _same("the store has", found.risen(figures.BUDGET_STOPS), rows)


def _checkpoint_bytes(found: Found) -> Iterator[str]:
    """Of ``quick``, whose threads are not trimmed, one by one; a run of another graph writes two at least."""
    counted = found.risen(figures.CHECKPOINT_BYTES, "_count")
    written = len(found.store.written)
    if counted["quick",] != written:
        yield f"quick: counted {counted['quick',]:g} writes, but the store has had {written}"
    for (graph,), count in found.rows(lambda row: row["result_status"] == "success", "graph").items():
        if counted[graph,] < 2 * count:
            yield f"{graph}: counted {counted[graph,]:g} writes of {count} runs"


def _slots(found: Found) -> Iterator[str]:
    for still in found.stills:
        for page in still.pages:
            yield from _same("the setting is", values(page, figures.SLOTS), {(): CONCURRENCY})


def _slots_in_use(found: Found) -> Iterator[str]:
    for still in found.stills:
        used = sum(values(page, figures.SLOTS_IN_USE)[()] for page in still.pages)
        if used != sum(still.running.values()):
            yield f"counted {used:g} over all workers, but the store has {sum(still.running.values())} running"


def _loop_silent(found: Found) -> Iterator[str]:
    for still in found.stills:
        for page in still.pages:
            silent = values(page, figures.LOOP_SILENT)[()]
            if not 0 <= silent < _LIVELY_SECONDS:
                yield f"{silent:g}, but the process lives"


def _reachable(found: Found) -> Iterator[str]:
    for still in found.stills:
        for page in still.pages:
            yield from _same("it answers:", values(page, figures.REACHABLE), {("broker",): 1, ("store",): 1})


def _info(found: Found) -> Iterator[str]:
    releases = {row["release"] for row in found.store.runs.values() if row["attempts"]}
    for still in found.stills:
        for page in still.pages:
            if len(releases) == 1:
                expected = {(__version__, releases.copy().pop()): 1}
                yield from _same("the store has", values(page, figures.INFO), expected)
            else:
                yield f"the rows name releases: {releases}"


def _of_fleet(figure: Figure, of: Callable[[Still], Mapping[Labels, float]]) -> Check:
    """Every worker has what the store has."""

    def check(found: Found) -> Iterator[str]:
        for still in found.stills:
            for page in still.pages:
                yield from _same("the store has", +values(page, figure), of(still))

    return check


def _graphs(counts: Mapping[str, int]) -> dict[Labels, float]:
    return {(graph,): count for graph, count in counts.items() if count}


def _alone(count: int) -> dict[Labels, float]:
    return {(): count} if count else {}


CHECKS: Mapping[Figure, Check] = {
    figures.REQUESTS: _requests,
    figures.REFUSED: _refused,
    figures.STARTS: _starts,
    figures.RUNS: _runs,
    figures.RUN_SECONDS: _run_seconds,
    figures.GIVEN_BACK: _given_back,
    figures.RETRIES: _retries,
    figures.DEAD_LETTERS: _dead_letters,
    figures.PUBLISHED: _published,
    figures.TOKENS: _tokens,
    figures.COST: _cost,
    figures.TURN_SECONDS: _turn_seconds,
    figures.RATE_LIMITED: _rate_limited,
    figures.BUDGET_STOPS: _budget_stops,
    figures.CHECKPOINT_BYTES: _checkpoint_bytes,
    figures.SLOTS: _slots,
    figures.SLOTS_IN_USE: _slots_in_use,
    figures.LOOP_SILENT: _loop_silent,
    figures.REACHABLE: _reachable,
    figures.INFO: _info,
    figures.WAITING: _of_fleet(figures.WAITING, lambda still: _graphs(still.waiting)),
    figures.RUNNING: _of_fleet(figures.RUNNING, lambda still: _graphs(still.running)),
    figures.UNPUBLISHED: _of_fleet(figures.UNPUBLISHED, lambda still: _alone(still.unpublished)),
    figures.PAUSED: _of_fleet(figures.PAUSED, lambda still: _alone(still.paused)),
    figures.LAG: _of_fleet(figures.LAG, lambda still: _alone(still.lag)),
}


def differ(still: Still) -> bool:
    """Whether a worker does not show that moment, yet."""
    alone = Found([], Tally(), Counter(), 0, 0, [still])
    return any(line for figure in _OF_FLEET for line in CHECKS[figure](alone))


_OF_FLEET = (figures.WAITING, figures.RUNNING, figures.UNPUBLISHED, figures.PAUSED, figures.LAG)


def disagreements(found: Found) -> Iterator[str]:
    """A line for each figure that says something else than the store or Kafka."""
    for figure, check in CHECKS.items():
        yield from (f"{figure.full_name}: {text}" for text in check(found))
