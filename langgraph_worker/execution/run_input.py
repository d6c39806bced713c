"""What a graph is given first: the request's data, or its command."""

from __future__ import annotations

from typing import Any

from langgraph.types import Command, Send

from workflow_events.models import WorkflowEventPayload
from workflow_events.run_config import GraphCommand, GraphSend


def first_input(payload: WorkflowEventPayload) -> Any:
    """The input of a graph that starts, or of another turn on its thread."""
    command = payload.command
    if command is None:
        return payload.data
    targets = [Send(one.node, one.input) if isinstance(one, GraphSend) else one for one in _targets(command)]
    return Command(update=_pairs(command.update) or command.update, goto=targets)


def goto_nodes(command: GraphCommand) -> list[str]:
    """The nodes that a command names."""
    return [one.node if isinstance(one, GraphSend) else one for one in _targets(command)]


def update_keys(update: Any) -> list[str] | None:
    """The keys of a state that an update names; None: it names none."""
    if isinstance(update, dict):
        return list(update)
    pairs = _pairs(update)
    return None if pairs is None else [key for key, _ in pairs]


def _pairs(update: Any) -> list[tuple[str, Any]] | None:
    """An update that is a list of pairs, as LangGraph has it; JSON has no tuples."""
    if not isinstance(update, list) or not all(isinstance(one, list) and len(one) == 2 for one in update):
        return None
    return [(key, value) for key, value in update] if all(isinstance(key, str) for key, _ in update) else None


def _targets(command: GraphCommand) -> list[str | GraphSend]:
    return command.goto if isinstance(command.goto, list) else [command.goto]
