"""The names of a graph's nodes and tasks at every depth, as far as they can be seen before it runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.tools import BaseTool
from langgraph._internal._runnable import RunnableCallable, RunnableSeq
from langgraph.constants import START
from langgraph.func import _TaskFunction
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel
from langgraph.pregel._read import PregelNode
from langgraph.pregel._utils import get_function_nonlocals

from langgraph_worker.domain.models import NODE_SEPARATOR

_MAX_DEPTH = 16  # of graphs inside of nodes


def node_names(graph: Pregel[Any]) -> frozenset[str]:
    """The names of a graph's own nodes, of those of the graphs that its nodes are or call, and of the tasks (``@task``)
    that they call: ``buy``, ``desk|buy``.

    A child graph or a task is seen where a node or one of its tools names it: as the node itself, or as a variable of
    the function. One that a function builds, or takes from a container, is not seen.
    """
    return frozenset(_names(graph, "", frozenset({id(graph.nodes)})))


def missing_names(kept: Collection[str], deployed: Collection[str]) -> list[str]:
    """Which of the kept names the deployed graph lacks, sorted.

    A node that shows no child graph any more is not asked for the names in it: either it has none, and starts from its
    beginning, or it cannot be seen.
    """
    shown = {name.rpartition(NODE_SEPARATOR)[0] for name in deployed}
    return sorted(name for name in set(kept).difference(deployed) if name.rpartition(NODE_SEPARATOR)[0] in shown | {""})


def _names(graph: Pregel[Any], prefix: str, outer: frozenset[int]) -> Iterator[str]:
    for name, node in graph.nodes.items():
        if name == START:
            continue
        yield prefix + name
        graphs, tasks = _called(node)
        yield from (f"{prefix}{name}{NODE_SEPARATOR}{task}" for task in tasks)
        for child in graphs:
            # A graph that calls itself has the same nodes again. A copy of one shares its nodes with it.
            if id(child.nodes) not in outer and len(outer) < _MAX_DEPTH:
                yield from _names(child, f"{prefix}{name}{NODE_SEPARATOR}", outer | {id(child.nodes)})


def _called(node: PregelNode) -> tuple[list[Pregel[Any]], list[str]]:
    """The graphs that a node is or calls, as LangGraph's own search finds the first of them, and its tasks.

    A graph without checkpoints starts from its beginning whenever its node runs again: its names do not matter.
    """
    found: list[Pregel[Any]] = []
    tasks: list[str] = []
    seen: set[int] = set()
    candidates: list[Any] = [*node.subgraphs, node.bound]
    for candidate in candidates:
        if id(candidate) in seen:
            continue
        seen.add(id(candidate))
        if not isinstance(candidate, Pregel):
            candidates.extend(_parts(candidate))
        elif candidate.checkpointer is not False:
            found.append(candidate)
        if isinstance(candidate, _TaskFunction):
            tasks.append(getattr(candidate, "__name__", ""))
    return found, [name for name in tasks if name]


def _parts(candidate: Any) -> Iterator[Any]:
    """What a runnable is made of, or may call."""
    match candidate:
        case RunnableSeq() | RunnableSequence():
            yield from candidate.steps
        case RunnableParallel():
            yield from candidate.steps__.values()
        case RunnableBindingBase():
            yield candidate.bound
        case ToolNode():
            yield from candidate.tools_by_name.values()
        case RunnableLambda():
            yield from candidate.deps
        case RunnableCallable():
            yield from _reached(candidate.func)
            yield from _reached(candidate.afunc)
        case _TaskFunction():
            yield from _reached(candidate.func)
        case BaseTool():
            yield from _reached(getattr(candidate, "func", None))
            yield from _reached(getattr(candidate, "coroutine", None))


def _reached(function: Any) -> Iterator[Any]:
    """The graphs, runnables and tasks that a function names."""
    try:
        values = get_function_nonlocals(function)
    except Exception:  # noqa: BLE001 - it reads attributes, which may be properties that raise anything
        return
    for value in values:
        owner = getattr(value, "__self__", value)
        if isinstance(owner, Runnable | Pregel | _TaskFunction):
            yield owner
