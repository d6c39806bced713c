"""``langgraph-worker runs fork``: ask workers for a new run that begins with a checkpoint of another one."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from langgraph_worker.checkpoints.history import CheckpointView
from langgraph_worker.cli.json_arguments import read_object
from langgraph_worker.cli.runs.list_checkpoints import found_in
from langgraph_worker.cli.runs.new_request import publish
from langgraph_worker.domain.run_views import RunDetail
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.operations.store_access import event_of
from langgraph_worker.settings.load import load_settings
from workflow_events.fields import utcnow
from workflow_events.models import EventSource, EventType, Fork, WorkflowEvent, WorkflowEventPayload

_DEADLINE = timedelta(hours=24)


class NotForkableError(WorkerError):
    """The run has no checkpoint with which a fork could begin so."""


def fork_run(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Publish the request for a fork; print its id, or its handle.

    :returns: 0 once the broker has it, or with ``--dry-run``.
    :raises WorkerError: the settings or options are wrong, the run has no such checkpoint, the store cannot be used, or
        the broker has not acknowledged the event.
    """
    values = read_object("--values", arguments.values) or {}
    if arguments.as_node is not None and not values:
        raise SettingsError("--as-node: says in whose name --values change the state; give both")
    settings = load_settings(flags)
    detail, checkpoints = asyncio.run(found_in(settings, arguments.id))
    chosen = _chosen(detail, checkpoints, arguments)
    if not chosen.next and not values:
        raise NotForkableError(
            f"checkpoint {chosen.checkpoint_id} is the end of request {detail.run.correlation_id}: no node runs behind "
            "it. Choose an earlier one, or change the state with --values and --as-node"
        )
    try:
        event = _event(detail, chosen, values, arguments.as_node)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        flag = "--as-node" if "as_node" in first["loc"] else "--values"
        raise SettingsError(f"{flag}: {first['msg'].removeprefix('Value error, ')}") from None
    about = {"forks": str(detail.run.correlation_id), "checkpoint_id": chosen.checkpoint_id}
    behind = f" in the name of {arguments.as_node}" if arguments.as_node else ""
    change = f", changes {', '.join(sorted(values))}{behind}" if values else f" and runs {', '.join(chosen.next)}"
    words = f"begins with checkpoint {chosen.checkpoint_id} of request {detail.run.correlation_id}{change}"
    publish(settings, event, arguments, about, words)
    return 0


def _chosen(detail: RunDetail, checkpoints: Sequence[CheckpointView], arguments: argparse.Namespace) -> CheckpointView:
    name = detail.run.correlation_id
    if not checkpoints:
        raise NotForkableError(f"request {name} has no checkpoint: it has not begun, or its thread was pruned")
    if arguments.checkpoint is not None:
        found = [one for one in checkpoints if one.checkpoint_id == arguments.checkpoint]
        if not found:
            raise SettingsError(
                f"--checkpoint: request {name} has no {arguments.checkpoint!r}. `runs checkpoints {name}` lists those "
                "that it has"
            )
        return found[0]
    found = [one for one in checkpoints if arguments.before in one.next]
    if not found:
        nodes = sorted({node for one in checkpoints for node in one.next})
        raise SettingsError(
            f"--before: no checkpoint of request {name} is before a node {arguments.before!r}. There are ones before "
            f"{', '.join(nodes) or 'none'}; older ones may have been removed (LANGGRAPH_WORKER_KEEP_CHECKPOINTS)"
        )
    return found[-1]


def _event(detail: RunDetail, chosen: CheckpointView, values: dict[str, Any], as_node: str | None) -> WorkflowEvent:
    """The request: what the run's own event sets for its graph holds for the fork too."""
    run, now = detail.run, utcnow()
    origin = event_of(detail, NotForkableError)
    kept = {"assistant", "context", "config", "budget", "metadata", "reply_topic"}
    return WorkflowEvent(
        event_type=EventType.WORKFLOW_FORKED,
        timestamp=now,
        source=EventSource.LANGGRAPH,
        workflow_id=run.workflow_id,
        workflow_run_id=run.workflow_run_id,
        graph=run.graph,
        payload=WorkflowEventPayload(data=values),
        fork=Fork(
            of=run.correlation_id,
            checkpoint_id=chosen.checkpoint_id,
            as_node=as_node,
            deployment=detail.deployment or "",
            run_start=detail.run_start,
        ),
        deadline=now + _DEADLINE,
        **({} if origin is None else {name: getattr(origin, name) for name in kept}),
    )
