"""Runs as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from langgraph_worker.domain.run_views import RunDetail, RunSummary


def summary_json(run: RunSummary) -> dict[str, Any]:
    """A line of a list, without its key."""
    values = _plain(asdict(run))
    del values["key"]
    return dict(values)


def detail_json(detail: RunDetail) -> dict[str, Any]:
    """One run with all that is kept of it."""
    found = {name: _plain(getattr(detail, name)) for name in _COPIED}
    return {
        **summary_json(detail.run),
        **found,
        "steps": [{"attempt": one.attempt, **_plain(asdict(one.step))} for one in detail.steps],
        "errors": [
            {
                "attempt": one.attempt,
                **_plain(asdict(one.failure)),
                "worker_id": one.worker_id,
                "occurred_at": _plain(one.occurred_at),
            }
            for one in detail.errors
        ],
        "waits_for": None if detail.waits_for is None else _plain(asdict(detail.waits_for)),
        "questions": [_plain(asdict(one)) for one in detail.questions],
        "requests": [summary_json(one) for one in detail.requests],
    }


_COPIED = (
    "event",
    "result",
    "deadline",
    "not_before",
    "logical_run",
    "generation",
    "release",
    "takeovers",
    "published_at",
    "usage",
)


def written(value: Mapping[str, Any], *, indent: int | None = None) -> str:
    """JSON in ASCII: what an agent wrote must not steer a terminal."""
    return json.dumps(value, indent=indent)


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
    return value
