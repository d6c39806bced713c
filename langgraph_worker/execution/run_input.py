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
    return Command(update=command.update, goto=targets)


def goto_nodes(command: GraphCommand) -> list[str]:
    """The nodes that a command names."""
    return [one.node if isinstance(one, GraphSend) else one for one in _targets(command)]


def _targets(command: GraphCommand) -> list[str | GraphSend]:
    return command.goto if isinstance(command.goto, list) else [command.goto]
