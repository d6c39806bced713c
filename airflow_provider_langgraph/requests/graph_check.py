"""The check that an author turns on: whether the fleet has a graph, and the graph takes the input of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_langgraph.exceptions import GraphCheckError, KafkaError, SettingsError
from airflow_provider_langgraph.requests.announced_fleet import AnnouncedFleet
from airflow_provider_langgraph.requests.client import FleetClient
from airflow_provider_langgraph.requests.misfit import MOST_NAMES, listed
from airflow_provider_langgraph.requests.schema_check import misfit
from workflow_events.announcements import GraphAnnouncement
from workflow_events.log_words import counted
from workflow_events.models import WorkflowEvent
from workflow_events.nearest_name import did_you_mean
from workflow_events.plain_text import one_line

CHECK_SECONDS = 10.0
"""How long a task reads the announcements, at most."""


def check_check_graph(value: Any) -> bool | None:
    """Check an operator's ``check_graph`` when the DAG file is parsed.

    :raises SettingsError: it is neither a truth value nor None.
    """
    if value is None or isinstance(value, bool):
        return value
    raise SettingsError(
        f"check_graph must be True, False or None, not {value!r}. None takes [langgraph] check_graphs of Airflow's "
        "configuration"
    )


def is_wanted(check_graph: bool | None) -> bool:
    """Whether a task checks what it asks for: as its operator says, else as the configuration does.

    :raises SettingsError: the configuration is wrong.
    """
    if check_graph is not None:
        return check_graph
    configured = str(conf.get("langgraph", "check_graphs", fallback="")).strip().lower()
    if configured in ("true", "t", "1"):
        return True
    if configured in ("", "false", "f", "0"):
        return False
    raise SettingsError(
        f"[langgraph] check_graphs of Airflow's configuration must be true or false, not {configured!r}"
    )


def read_fleet(
    client: FleetClient, log: Any, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AnnouncedFleet | None:
    """What the fleet's workers have announced; None if that cannot be read, which the log says."""
    topics = client.topics
    try:
        announced = client.announcements(topics.graphs)
    except KafkaError as error:
        log.warning("The graph is not checked, and is asked all the same: %s", error)
        return None
    return AnnouncedFleet.of(announced, topics.events, now())


_MOST_VARIANTS = 20
"""A fleet has one or two releases. What announces more is not believed: each costs the time of a comparison."""


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """Checks requests.

    :param names: what the author calls an argument, where it is not the argument's own name.
    :param has_input: False: what the request's input will be is not known yet.
    """

    names: Mapping[str, str]
    log: Any
    has_input: bool = True

    def check(self, fleet: AnnouncedFleet | None, event: WorkflowEvent) -> None:
        """Compare a request with what the fleet's workers have announced. Where that is not known, say so, and go on.

        :param fleet: see :func:`read_fleet`.
        :raises GraphCheckError: the fleet has no such graph or assistant, or the graph takes no such input.
        """
        if fleet is None:
            return
        problem, doubt = self.problem(fleet, event), fleet.doubt
        if problem is None:
            self._report(fleet, event, doubt)
        elif doubt is None:
            raise GraphCheckError(problem)
        elif fleet.workers:
            self.log.warning("The graph is asked all the same, as %s: %s", doubt, one_line(problem))

    def problem(self, fleet: AnnouncedFleet, event: WorkflowEvent) -> str | None:
        """What is wrong with a request by all that is announced, in one sentence; None if nothing is."""
        graph = event.graph or fleet.default_graph
        if not fleet.workers or graph is None:
            return None
        if graph not in fleet.names:
            return (
                f"{self._named('graph')}: no worker of the fleet serves a graph named {graph!r}. "
                f"{_known(graph, fleet.names)} Correct the name, or add the graph to langgraph.json of the workers"
            )
        variants = fleet.variants(graph)
        if not variants or len(variants) > _MOST_VARIANTS:
            return None
        problem = None
        for one in variants:
            found = self._misfit(one, event)
            if found is None:
                return None
            problem = problem or found
        return problem

    def _misfit(self, graph: GraphAnnouncement, event: WorkflowEvent) -> str | None:
        if event.assistant is not None and event.assistant not in graph.assistants:
            return (
                f"{self._named('assistant')}: graph {graph.graph!r} has no assistant {event.assistant!r}. "
                f"{_known(event.assistant, graph.assistants)} Correct the name, or add it to 'assistants' of the "
                "graph's entry in langgraph.json"
            )
        # A conversation may hold already what this turn leaves out, and so may an assistant's context.
        is_whole = event.thread_id is None
        found = None
        if self.has_input:
            found = misfit(graph.input, event.payload.data, self._named("input"), is_whole=is_whole)
        if found is None and event.context is not None:
            found = misfit(graph.context, event.context, self._named("context"), is_whole=False)
        return None if found is None else f"graph {graph.graph!r}: {found}"

    def _named(self, argument: str) -> str:
        return self.names.get(argument, argument)

    def _report(self, fleet: AnnouncedFleet, event: WorkflowEvent, doubt: str | None) -> None:
        graph = event.graph or fleet.default_graph
        if not fleet.workers:
            self.log.warning("The graph is not checked, and is asked all the same: %s", doubt)
        elif graph is None:
            self.log.info("The graph is not checked: the workers have no default graph, or different ones")
        else:
            serving = sum(graph in worker.graphs for worker in fleet.workers)
            known = fleet.variants(graph) or ()
            takes = "takes this input" if self.has_input else "gets its input later"
            said = takes if any(one.input for one in known) else "has not announced what it takes"
            self.log.info("Graph %s is served by %s, and %s", graph, counted(serving, "worker"), said)


def _known(name: str, known: Any) -> str:
    few = list(islice(known, MOST_NAMES))  # others may have written any number
    return f"Known: {listed(few, len(known))}.{did_you_mean(name, few)}"
