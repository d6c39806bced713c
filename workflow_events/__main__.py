"""``python -m workflow_events schema [NAME]``: print the JSON Schemas of the wire contract."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from workflow_events.announcements import GraphAnnouncement, WorkerAnnouncement
from workflow_events.control import (
    WorkflowCancelledEvent,
    WorkflowPausedEvent,
    WorkflowProgressEvent,
    WorkflowQueryEvent,
    WorkflowSupersededEvent,
    WorkflowUnpausedEvent,
)
from workflow_events.models import WorkflowEvent
from workflow_events.results import WorkflowResultEvent

MODELS: tuple[type[BaseModel], ...] = (
    WorkflowEvent,
    WorkflowResultEvent,
    WorkflowCancelledEvent,
    WorkflowSupersededEvent,
    WorkflowQueryEvent,
    WorkflowPausedEvent,
    WorkflowUnpausedEvent,
    WorkflowProgressEvent,
    WorkerAnnouncement,
    GraphAnnouncement,
)


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema (draft 2020-12) of every message, by model name."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {model.__name__: dialect | model.model_json_schema(mode="validation") for model in MODELS}


def main(argv: Sequence[str] | None = None) -> int:
    """Print one schema, or all of them as one object."""
    parser = argparse.ArgumentParser(prog="python -m workflow_events", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    schema = commands.add_parser("schema", help="print the JSON Schemas of the wire contract")
    schema.add_argument("name", nargs="?", choices=sorted(schemas()), help="only this message")
    arguments = parser.parse_args(argv)
    chosen = schemas()
    print(json.dumps(chosen[arguments.name] if arguments.name else chosen, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
