"""The change of the state with which a fork begins, as its event says."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.constants import START
from langgraph.errors import InvalidUpdateError
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.types import StateSnapshot
from pydantic import ValidationError

from langgraph_worker.domain import faults
from langgraph_worker.domain.json_values import describe
from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.command_check import require_keys
from langgraph_worker.execution.run_fault import RunFaultError

_BEFORE_THE_INPUT = -1  # the step of the checkpoint that holds the input


def require_change(claim: Claim, graph: Pregel[Any], snapshot: StateSnapshot) -> None:
    """Check the event's change against the graph: LangGraph drops what it does not know, and obeys names of its own.

    :param snapshot: the checkpoint that is to be changed.
    :raises RunFaultError: ``bad_input``; its text names the field.
    """
    fork = claim.event.fork
    assert fork is not None
    if not isinstance(graph, CompiledStateGraph):
        _refuse("payload.data", f"graph {claim.graph!r} is a workflow, which has no state to change. Leave it out")
    if (snapshot.metadata or {}).get("step") == _BEFORE_THE_INPUT:
        text = (
            "at the checkpoint before the first node, the state is the input. Send a request with another input instead"
        )
        _refuse("payload.data", text)
    nodes = sorted(name for name in graph.nodes if name != START)
    if fork.as_node is not None and fork.as_node not in nodes:
        _refuse("fork.as_node", f"graph {claim.graph!r} has no node {fork.as_node!r}. It has: {', '.join(nodes)}")
    require_keys("payload.data", claim.event.payload.data, claim.graph, graph)


async def change_state(claim: Claim, graph: Pregel[Any], config: RunnableConfig) -> None:
    """Change the state. It is durable when this returns.

    :param config: names the checkpoint.
    :raises RunFaultError: ``bad_input``: the graph does not take the values.
    """
    fork = claim.event.fork
    assert fork is not None
    try:
        await graph.aupdate_state(config, claim.event.payload.data, fork.as_node)
    except InvalidUpdateError as error:
        remedy = "" if fork.as_node else ". Name the node in whose name it is changed: fork.as_node (--as-node)"
        _refuse("payload.data", f"the graph does not take this change of its state: {error}{remedy}")
    except ValidationError as error:
        _refuse("payload.data", f"the graph's state does not take it: {describe(error)}")
    except (TypeError, ValueError, KeyError) as error:
        _refuse("payload.data", f"the graph's state does not take it: {type(error).__name__}: {error}")


def _refuse(field: str, text: str) -> None:
    raise RunFaultError(faults.BAD_INPUT, f"field '{field}': {text}")
