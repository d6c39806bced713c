"""The figures that a worker offers to Prometheus: a closed list. Nothing else is counted.

Each label has few values, which are known before: a graph's name is one of the worker's own graphs or ``other``, and of
the models that runs use, the first hundred have their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from langgraph_worker.domain.faults import FAULTS
from langgraph_worker.domain.models import Decision
from langgraph_worker.domain.retry_policy import DEFAULT_RULES
from workflow_events.results import ResultStatus

PREFIX = "langgraph_worker_"

OTHER = "other"
"""The value of a label that stands for all values beside the known ones."""

MOST_MODELS = 100
"""How many models have their own names in the figures of one process."""

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a figure.

    :param values: what it can be, in words.
    """

    name: str
    values: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    :param name: without :data:`PREFIX`. As OpenMetrics wants it, a counter's ends with ``_total``, and a unit is part
        of the name.
    :param meaning: a sentence for the person who reads a dashboard.
    :param buckets: the upper bounds of a histogram's buckets, in the figure's unit.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """As Prometheus has it."""
        return PREFIX + self.name


def _one_of(names: object) -> str:
    return ", ".join(names)  # type: ignore[arg-type]


_GRAPH = Label("graph", f"a graph of the worker's langgraph.json, or {OTHER}")
_STATUS = Label("status", _one_of(status.value for status in ResultStatus))
_DECISION = Label("decision", _one_of(decision.value for decision in Decision))
_ERROR_TYPE = Label("error_type", "an error_type of the list of faults")
_MODEL = Label("model", f"the name that the model's client reports; after {MOST_MODELS} models: {OTHER}")
_CALLED = Label("model", f"provider:name, as the model's client reports them; after {MOST_MODELS} models: {OTHER}")
_REASON = Label(
    "reason",
    "released, paused, lease_lost, ended_outside, not_yet, store_trouble, starts_over, backs_off, waits_for_turn",
)
_ERROR_CLASS = Label("error_class", _one_of(kind.value for kind in DEFAULT_RULES))

_RUN_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400)
_STATE_BYTES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)

# What this worker has done since it started.
REQUESTS = Figure(
    "requests_total", "counter", "requests that this worker has accepted into the store", (_GRAPH, _DECISION)
)
REFUSED = Figure(
    "refused_total",
    "counter",
    "records that the intake has refused; undecodable: rows of records that lie side by side",
    (_ERROR_TYPE,),
)
STARTS = Figure(
    "run_starts_total",
    "counter",
    "starts of runs on this worker, also of those that it gives back at once; again: an earlier start of the same "
    "request did not come to its end",
    (_GRAPH, Label("start", "first, again")),
)
RUNS = Figure("runs_total", "counter", "runs that this worker has ended, and whose result it stored", (_GRAPH, _STATUS))
RUN_SECONDS = Figure(
    "run_seconds",
    "histogram",
    "seconds from a run's start on this worker to its end",
    (_GRAPH,),
    _RUN_SECONDS,
)
GIVEN_BACK = Figure(
    "runs_given_back_total",
    "counter",
    "runs that this worker has given back before their end; lease_lost: not renewed in time, or taken over by another "
    "worker; ended_outside: cancelled, superseded, or ended by the store",
    (_GRAPH, _REASON),
)
RETRIES = Figure(
    "retries_total",
    "counter",
    "runs that this worker lets wait and go on, because an exception of their graph allows that",
    (_GRAPH, _ERROR_CLASS),
)
DEAD_LETTERS = Figure(
    "dead_letters_total", "counter", "records that this worker has written to the dead-letter topic", (_ERROR_TYPE,)
)
PUBLISHED = Figure(
    "results_published_total", "counter", "results that the broker has acknowledged, repeated ones included"
)
TOKENS = Figure(
    "tokens_total",
    "counter",
    "tokens that runs have spent on this worker, as the models' clients report them; counted when a start of a run "
    "ends, also if the run goes on later",
    (_MODEL, Label("kind", "input, output")),
)
COST = Figure(
    "cost_usd_total",
    "counter",
    "US dollars of those tokens; a model whose price is not known counts nothing",
    (_MODEL,),
)
TURN_SECONDS = Figure(
    "model_turn_wait_seconds_total",
    "counter",
    "seconds that calls of a model were held back on this worker, because of its limit or after a 429",
    (_CALLED,),
)
RATE_LIMITED = Figure(
    "model_rate_limited_total", "counter", "calls of a model that its provider answered with a 429", (_CALLED,)
)
BUDGET_STOPS = Figure("budget_stops_total", "counter", "runs that ended because their budget was used up", (_GRAPH,))
CHECKPOINT_BYTES = Figure(
    "checkpoint_bytes",
    "histogram",
    "bytes that one checkpoint, or one node's output, writes to the store",
    (_GRAPH,),
    _STATE_BYTES,
)

# How this worker is now.
SLOTS = Figure("slots", "gauge", "runs that this worker can have at once")
SLOTS_IN_USE = Figure("slots_in_use", "gauge", "runs that this worker has now")
LOOP_SILENT = Figure(
    "loop_silent_seconds", "gauge", "seconds since the event loop last gave a sign of life; it gives one each second"
)
REACHABLE = Figure(
    "reachable", "gauge", "1 if it answered when it was last asked, else 0", (Label("part", "broker, store"),)
)
INFO = Figure(
    "info",
    "gauge",
    "always 1; the labels say what runs here",
    (Label("version", "the package's version"), Label("release", "the project's release")),
)

# How the fleet is, as this worker sees it: every worker of the fleet has the same value.
WAITING = Figure("fleet_requests_waiting", "gauge", "requests in the store that wait to start or to go on", (_GRAPH,))
RUNNING = Figure("fleet_requests_running", "gauge", "requests in the store that a worker runs", (_GRAPH,))
UNPUBLISHED = Figure(
    "fleet_results_unpublished", "gauge", "results in the store that the broker has not acknowledged yet"
)
PAUSED = Figure(
    "fleet_paused_scopes", "gauge", "pauses that hold requests back: of the fleet, and of single graphs and workflows"
)
LAG = Figure("fleet_events_lag", "gauge", "records of the events topic that no worker of the group has taken in yet")

FIGURES = (
    *(REQUESTS, REFUSED, STARTS, RUNS, RUN_SECONDS, GIVEN_BACK, RETRIES, DEAD_LETTERS, PUBLISHED),
    *(TOKENS, COST, TURN_SECONDS, RATE_LIMITED, BUDGET_STOPS, CHECKPOINT_BYTES),
    *(SLOTS, SLOTS_IN_USE, LOOP_SILENT, REACHABLE, INFO),
    *(WAITING, RUNNING, UNPUBLISHED, PAUSED, LAG),
)
"""All of them, in the order of the documentation."""

ERROR_TYPES = frozenset(fault.name for fault in FAULTS)
