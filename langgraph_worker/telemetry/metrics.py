"""Counts the figures of one worker: in memory, within microseconds, from any thread."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from langgraph_worker import __version__
from langgraph_worker.domain.faults import BUDGET_EXCEEDED
from langgraph_worker.domain.models import Claim, Decision, FleetFigures
from langgraph_worker.domain.retry_policy import ErrorClass
from langgraph_worker.telemetry import figures
from langgraph_worker.telemetry.figures import OTHER, Figure
from workflow_events.results import ModelUsage, ResultStatus, WorkflowResultEvent

GivenBackReason = Literal[
    "released",
    "paused",
    "lease_lost",
    "ended_outside",
    "not_yet",
    "store_trouble",
    "starts_over",
    "backs_off",
    "waits_for_turn",
]

_KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


class Metrics:
    """The figures of :mod:`langgraph_worker.telemetry.figures`, with their values.

    :param graphs: the graphs that have their own names in labels; others are counted together.
    :param slots: of the worker.
    :param release: of the project.
    """

    def __init__(self, graphs: Collection[str] = (), slots: int = 0, release: str | None = None) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, file descriptors, processor time
        self._graphs = frozenset(graphs)
        self._models: set[str] = set()
        self._values = {figure: self._collector(figure) for figure in figures.FIGURES}
        self._values[figures.SLOTS].set(slots)
        self._of(figures.INFO, __version__, release or "").set(1)
        self.set_fleet(FleetFigures())

    def _collector(self, figure: Figure) -> Any:
        names = [label.name for label in figure.labels]
        buckets: dict[str, Any] = {"buckets": figure.buckets} if figure.buckets else {}
        return _KINDS[figure.kind](figure.full_name, figure.meaning, names, registry=self.registry, **buckets)

    def _of(self, figure: Figure, *labels: str) -> Any:
        return self._values[figure].labels(*labels) if labels else self._values[figure]

    def _graph(self, name: str) -> str:
        return name if name in self._graphs else OTHER

    # ---- what the worker does ----

    def accepted(self, graph: str, decision: Decision) -> None:
        """A request was accepted into the store."""
        self._of(figures.REQUESTS, self._graph(graph), decision.value).inc()

    def refused(self, error_type: str) -> None:
        """The intake has refused a record."""
        self._of(figures.REFUSED, _error_type(error_type)).inc()

    def started(self, claim: Claim) -> None:
        """A run starts here."""
        self._of(figures.STARTS, self._graph(claim.graph), "first" if claim.attempts == 1 else "again").inc()

    def ended(self, claim: Claim, result: WorkflowResultEvent, seconds: float) -> None:
        """A run has ended, and its result is stored.

        :param seconds: since it started here.
        """
        graph = self._graph(claim.graph)
        self._of(figures.RUNS, graph, ResultStatus(result.status).value).inc()
        self._of(figures.RUN_SECONDS, graph).observe(seconds)
        if result.error_type == BUDGET_EXCEEDED.name:
            self._of(figures.BUDGET_STOPS, graph).inc()

    def spent(self, used: Mapping[str, ModelUsage]) -> None:
        """A start of a run is over, whether the run has ended or goes on later.

        :param used: what that start has spent, by model.
        """
        for model, usage in used.items():
            name = self._model(model)
            self._of(figures.TOKENS, name, "input").inc(usage.input_tokens)
            self._of(figures.TOKENS, name, "output").inc(usage.output_tokens)
            self._of(figures.COST, name).inc(usage.cost_usd or 0.0)

    def given_back(self, claim: Claim, reason: GivenBackReason) -> None:
        """A run did not end here."""
        self._of(figures.GIVEN_BACK, self._graph(claim.graph), reason).inc()

    def retried(self, claim: Claim, error_class: ErrorClass) -> None:
        """A run is repeated, because an exception of its graph allows that."""
        self._of(figures.RETRIES, self._graph(claim.graph), error_class.value).inc()

    def waited_for_turn(self, model: str, seconds: float) -> None:
        """A call of a model was held back for so long before it was sent."""
        self._of(figures.TURN_SECONDS, self._model(model)).inc(seconds)

    def rate_limited(self, model: str) -> None:
        """A provider takes no calls of a model for now."""
        self._of(figures.RATE_LIMITED, self._model(model)).inc()

    def dead_letter(self, error_type: str) -> None:
        """A record is in the dead-letter topic."""
        self._of(figures.DEAD_LETTERS, _error_type(error_type)).inc()

    def published(self) -> None:
        """The broker has acknowledged a result."""
        self._of(figures.PUBLISHED).inc()

    def checkpoint(self, graph: str, size: int) -> None:
        """A checkpoint, or a node's output, writes so many bytes."""
        self._of(figures.CHECKPOINT_BYTES, self._graph(graph)).observe(size)

    # ---- how it is ----

    def set_slots_in_use(self, count: int) -> None:
        """So many runs are active."""
        self._of(figures.SLOTS_IN_USE).set(count)

    def set_silence(self, seconds: float) -> None:
        """The event loop has been silent for so long."""
        self._of(figures.LOOP_SILENT).set(seconds)

    def set_reachable(self, part: Literal["broker", "store"], *, is_reachable: bool) -> None:
        """Whether a part answered."""
        self._of(figures.REACHABLE, part).set(is_reachable)

    def set_fleet(self, fleet: FleetFigures) -> None:
        """What the store holds. A graph of which it holds nothing is 0, so that no old value stays."""
        for figure, found in ((figures.WAITING, fleet.waiting), (figures.RUNNING, fleet.running)):
            totals = dict.fromkeys((*self._graphs, OTHER), 0)
            for graph, count in found.items():
                totals[self._graph(graph)] += count
            for graph, count in totals.items():
                self._of(figure, graph).set(count)
        self._of(figures.UNPUBLISHED).set(fleet.unpublished)
        self._of(figures.PAUSED).set(fleet.paused)

    def forget(self, part: Literal["broker", "store"]) -> None:
        """What a part that is away holds is not known: the figures are NaN until it answers."""
        if part == "broker":
            self._of(figures.LAG).set(math.nan)
            return
        for figure in (figures.WAITING, figures.RUNNING):
            for graph in (*self._graphs, OTHER):
                self._of(figure, graph).set(math.nan)
        self._of(figures.UNPUBLISHED).set(math.nan)
        self._of(figures.PAUSED).set(math.nan)

    def set_lag(self, records: int) -> None:
        """So many records wait in the events topic."""
        self._of(figures.LAG).set(records)

    def _model(self, name: str) -> str:
        if name not in self._models and len(self._models) >= figures.MOST_MODELS:
            return OTHER
        self._models.add(name)
        return name


def _error_type(name: str) -> str:
    return name if name in figures.ERROR_TYPES else OTHER
