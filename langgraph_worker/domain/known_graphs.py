"""Which graphs the workers of a fleet can run, and what is said of one that none can."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from langgraph_worker.domain.pauses import PauseChange
from workflow_events.nearest_name import did_you_mean

SEEN_WITHIN_SECONDS = 35.0
"""A worker that has not announced itself for so long, of every ten seconds, does not run, or cannot reach the store."""

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class KnownGraphs:
    """The graphs of a fleet.

    :param names: those that a worker has announced in the last day.
    :param served: those of the workers that run now.
    """

    names: Collection[str]
    served: Collection[str]


def known_in_words(name: str, known: Collection[str]) -> str:
    """The names that are known, and the one of them that was probably meant: two sentences at most."""
    shown = sorted(known)[:_MOST_SHOWN]
    more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    return f"Known: {', '.join(shown) or 'none'}{more}.{did_you_mean(name, known)}"


def unknown_graph_in_words(name: str, known: Collection[str], grace_seconds: float) -> str:
    """Why a request for a graph that no worker announced in time ended."""
    return (
        f"graph {name!r} is not known, and did not become so within {grace_seconds:g} s. "
        f"{known_in_words(name, known)} Correct the name, or add the graph to langgraph.json"
    )


def why_it_waited(
    name: str,
    graphs: KnownGraphs,
    thread: str,
    holder: UUID | None,
    *,
    came_late: bool,
    pause: PauseChange | None = None,
) -> str:
    """Why a request did not start by its deadline, as far as the store knows, and the remedy.

    :param came_late: whether the deadline had passed when the store accepted the request.
    :param thread: of the request, for the reader.
    :param holder: another request that holds it; None if none does.
    :param pause: one that held it back; None if none did.
    """
    if came_late and name in graphs.names:
        return (
            "no worker had taken the request from Kafka by then: none ran, or those that ran had no room or could not "
            "reach Kafka or the run store; their logs say which. Keep workers running, or allow the task a longer "
            "timeout"
        )
    return what_holds_up(name, graphs, thread, holder, pause) or (
        f"workers that serve graph {name!r} run, and none took it up. The usual reasons: their slots "
        "(LANGGRAPH_WORKER_CONCURRENCY) or the graph's part of them (LANGGRAPH_WORKER_GRAPH_CONCURRENCY) are in use, "
        "the fleet runs as many of the graph as it may (max_running in langgraph.json), or its thread waits for a "
        "person's answer; which one it was is not recorded. Allow the task a longer timeout, run more workers, or "
        "raise the limit"
    )


def what_holds_up(
    name: str, graphs: KnownGraphs, thread: str, holder: UUID | None, pause: PauseChange | None = None
) -> str:
    """What keeps a request from starting, as far as the store knows, and the remedy; empty if it knows of nothing.

    The parameters are those of :func:`why_it_waited`.
    """
    if pause is not None:
        return (
            f"{pause.in_words}. Deadlines run on during a pause. Send the request again when the pause has ended "
            f"(`{pause.unpause_command}`), or allow the task a longer timeout"
        )
    if name not in graphs.names:
        return (
            f"no worker of the fleet serves a graph named {name!r}. {known_in_words(name, graphs.names)} Correct the "
            "name, or add the graph to langgraph.json of a worker"
        )
    if name not in graphs.served:
        return (
            f"no worker that serves graph {name!r} runs now, or none reaches the run store. Start one; its log says "
            "what stops it"
        )
    if holder is not None:
        return (
            f"request {holder} holds its thread {thread}, where one request runs after the other. Allow the task a "
            "longer timeout, or give it a thread_id of its own"
        )
    return ""
