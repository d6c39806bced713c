"""Static breakpoints (``interrupt_before``, ``interrupt_after``): those of a run, and where a thread stands at one.

LangGraph stops there without a question, and goes on whenever it is called again. So the worker makes a question of it:
a person, and nothing else, lets the run go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.constants import START, TAG_HIDDEN
from langgraph.pregel import Pregel
from langgraph.types import All, Interrupt, StateSnapshot

from langgraph_worker.domain import faults
from langgraph_worker.domain.breakpoints import breakpoint_id
from langgraph_worker.domain.models import NODE_SEPARATOR
from langgraph_worker.execution.run_fault import RunFaultError
from workflow_events.models import RunConfig

Nodes = All | Sequence[str]
_KINDS = ("before", "after")


@dataclass(frozen=True, slots=True)
class _Stop:
    checkpoint: str
    kind: str
    nodes: tuple[str, ...]


def breakpoints(graph: Pregel[Any], asked: RunConfig, name: str) -> dict[str, Nodes]:
    """The graph's own breakpoints and the event's, for ``Pregel.copy``. An event only adds some.

    :param name: the graph's name, for errors.
    :raises RunFaultError: ``config_not_allowed``: the event names a node that is not there.
    """
    known = [node for node in graph.nodes if node != START]
    for field, nodes in (("interrupt_before", asked.interrupt_before), ("interrupt_after", asked.interrupt_after)):
        unknown = sorted(set(nodes) - set(known)) if nodes != "*" else []
        if unknown:
            text = f"graph {name!r} has no node {', '.join(map(repr, unknown))}. It has: {', '.join(sorted(known))}"
            raise RunFaultError(faults.CONFIG_NOT_ALLOWED, f"field 'config.{field}': {text}")
    return {
        "interrupt_before_nodes": _both(graph.interrupt_before_nodes, asked.interrupt_before),
        "interrupt_after_nodes": _both(graph.interrupt_after_nodes, asked.interrupt_after),
    }


def _both(own: Nodes, asked: Nodes) -> Nodes:
    if own == "*" or asked == "*":
        return "*"
    return list(dict.fromkeys([*own, *asked]))


async def breakpoint_at(graph: Pregel[Any], config: RunnableConfig, snapshot: StateSnapshot) -> Interrupt | None:
    """The stop at which an unfinished thread stands, as a question; None if it stands at none.

    :param snapshot: the thread's state, as ``aget_state(config)`` gives it.
    """
    if not snapshot.next:
        return None
    if any(task.state for task in snapshot.tasks) and _has_some_inside(graph, frozenset()):
        snapshot = await graph.aget_state(config, subgraphs=True)
    stops = [stop async for stop in _stops(graph, graph, snapshot, "")]
    if not stops:
        return None
    names = {kind: sorted({node for stop in stops if stop.kind == kind for node in stop.nodes}) for kind in _KINDS}
    return Interrupt({kind: nodes for kind, nodes in names.items() if nodes}, id=_id(stops))


def unnamed_stop(snapshot: StateSnapshot) -> Interrupt:
    """A stop that LangGraph has made inside of a node, in a graph that it does not show, as a question."""
    checkpoint = snapshot.config["configurable"]["checkpoint_id"]
    return Interrupt({"inside": sorted(snapshot.next)}, id=breakpoint_id([checkpoint]))


def _id(stops: Sequence[_Stop]) -> str:
    return breakpoint_id({stop.checkpoint for stop in stops})


def _has_some(graph: Pregel[Any]) -> bool:
    return bool(graph.interrupt_before_nodes or graph.interrupt_after_nodes)


def _has_some_inside(graph: Pregel[Any], outer: frozenset[int]) -> bool:
    """Whether a graph inside of a node has breakpoints. A graph may call itself: its nodes are looked at once."""
    if id(graph.nodes) in outer:
        return False
    children = [child for _, child in graph.get_subgraphs() if isinstance(child, Pregel)]
    return any(_has_some(child) or _has_some_inside(child, outer | {id(graph.nodes)}) for child in children)


async def _stops(top: Pregel[Any], graph: Pregel[Any], snapshot: StateSnapshot, prefix: str) -> AsyncIterator[_Stop]:
    """The stops of a graph, and of those inside of its nodes: a node whose graph has begun is behind its own stop."""
    begun = {task.name: state for task in snapshot.tasks if (state := _begun(task.state)) is not None}
    children = dict(graph.get_subgraphs())
    for name, inner in begun.items():
        child = children.get(name)
        if isinstance(child, Pregel):
            async for stop in _stops(top, child, inner, f"{prefix}{name}{NODE_SEPARATOR}"):
                yield stop
    checkpoint = snapshot.config["configurable"]["checkpoint_id"]
    waiting = _stopped(graph, graph.interrupt_before_nodes, set(snapshot.next).difference(begun))
    if waiting:
        yield _Stop(checkpoint, "before", tuple(prefix + name for name in waiting))
    if graph.interrupt_after_nodes and not begun:
        behind = _stopped(graph, graph.interrupt_after_nodes, await _ran_last(top, graph, snapshot))
        if behind:
            yield _Stop(checkpoint, "after", tuple(prefix + name for name in behind))


def _begun(state: Any) -> StateSnapshot | None:
    """The state of a graph inside of a node; None if it has no checkpoint yet, or is not shown."""
    return state if isinstance(state, StateSnapshot) and state.metadata is not None else None


async def _ran_last(top: Pregel[Any], graph: Pregel[Any], snapshot: StateSnapshot) -> set[str]:
    """The nodes whose end made a checkpoint. If the one before it is gone, all: rather ask a person once more."""
    if snapshot.parent_config is None:
        return set(graph.nodes)
    before = await top.aget_state(snapshot.parent_config)
    if before.metadata is None:
        return set(graph.nodes)
    return {task.name for task in before.tasks}


def _stopped(graph: Pregel[Any], nodes: Nodes, names: set[str]) -> list[str]:
    if nodes != "*":
        return sorted(names.intersection(nodes))
    return sorted(name for name in names if name in graph.nodes and TAG_HIDDEN not in (graph.nodes[name].tags or ()))
