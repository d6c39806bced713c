"""Whether a graph has what a command names: nodes to go to, keys of the state to update.

LangGraph drops what a graph does not have, with a line in its log, and obeys names of its own, such as ``__resume__``.
"""

from __future__ import annotations

from typing import Any

from langgraph.channels.base import BaseChannel
from langgraph.pregel import Pregel

from langgraph_worker.domain import faults
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.execution.run_input import goto_nodes, update_keys
from workflow_events.run_config import GraphCommand

_TO = "branch:to:"
_WHOLE = "__root__"  # LangGraph's name of a state that has no keys


def require_known_places(command: GraphCommand, name: str, graph: Pregel[Any]) -> None:
    """Check a command that the graph's entry allows.

    :param name: the graph's, for the error.
    :raises RunFaultError: ``bad_input``.
    """
    nodes = sorted(channel.removeprefix(_TO) for channel in graph.channels if channel.startswith(_TO))
    for node in goto_nodes(command):
        if node not in nodes:
            _refuse(
                "payload.command.goto", f"graph {name!r} has no node {node!r}. It has: {', '.join(nodes) or 'none'}"
            )
    if command.update is not None:
        require_keys("payload.command.update", command.update, name, graph)


def require_keys(field: str, update: Any, name: str, graph: Pregel[Any]) -> None:
    """Check what is to change a graph's state.

    :param field: of the event, for the error.
    :param name: the graph's, for the error.
    :raises RunFaultError: ``bad_input``.
    """
    keys = sorted(channel for channel, kind in graph.channels.items() if _is_key(channel, kind))
    named = update_keys(update)
    has = f"The state of graph {name!r} has: {', '.join(keys)}"
    if _WHOLE in graph.channels:
        if named is not None:
            _refuse(field, f"must be no object: the state of graph {name!r} has no keys")
    elif not keys:
        _refuse(field, f"graph {name!r} has no state that an event could update")
    elif named is None:
        _refuse(field, f"must be an object, or a list of pairs of key and value. {has}")
    else:
        for key in named:
            if key not in keys:
                _refuse(field, f"the state of graph {name!r} has no key {key!r}. It has: {', '.join(keys)}")


def _is_key(channel: str, kind: Any) -> bool:
    return isinstance(kind, BaseChannel) and not channel.startswith(("__", "branch:", "join:"))


def _refuse(field: str, text: str) -> None:
    raise RunFaultError(faults.BAD_INPUT, f"field '{field}': {text}")
