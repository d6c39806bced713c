"""The ids by which a stop at a static breakpoint is answered. LangGraph itself gives such a stop no id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid5

_PREFIX = "breakpoint-"
_NAMESPACE = UUID("a5f8a4de-2c1b-5f0e-8b52-5c8f52b9d7c3")


def breakpoint_id(checkpoints: Iterable[str]) -> str:
    """The id of a stop: the same whenever it is asked for, another one for each stop of a thread.

    :param checkpoints: the ids of the checkpoints at which a graph, and those inside of its nodes, stand.
    """
    return _PREFIX + str(uuid5(_NAMESPACE, json.dumps(sorted(checkpoints))))


def stops_among(interrupt_ids: Iterable[str]) -> frozenset[str]:
    """Those of these questions that are stops at breakpoints: any answer lets the run go on."""
    return frozenset(one for one in interrupt_ids if one.startswith(_PREFIX))


def values_for_graph(answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers that a graph's ``interrupt()`` waits for."""
    stops = stops_among(answers)
    return {name: value for name, value in answers.items() if name not in stops}
