"""Keep each graph's long-term memory in namespaces of its own, which the graph never sees."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchOp,
)

from workflow_events.log_words import with_article


def inside(label: str, op: Op) -> Op:
    """The operation as it is stored: every namespace begins with the memory's label.

    :raises InvalidNamespaceError: the graph's own namespace is one that LangGraph refuses.
    """
    if isinstance(op, GetOp | PutOp):
        _require_labels(op.namespace)
        return op._replace(namespace=(label, *op.namespace))
    if isinstance(op, SearchOp):
        _require_labels(op.namespace_prefix)
        return op._replace(namespace_prefix=(label, *op.namespace_prefix))
    assert isinstance(op, ListNamespacesOp)
    for condition in op.match_conditions or ():
        _require_labels(condition.path)
    depth = None if op.max_depth is None else op.max_depth + 1
    return op._replace(match_conditions=_inside_all(label, op.match_conditions or ()), max_depth=depth)


def _require_labels(namespace: Sequence[Any]) -> None:
    """LangGraph checks only what comes by its own methods. The databases join the labels by periods."""
    for label in namespace:
        if not isinstance(label, str):
            why = f"it is {with_article(type(label).__name__)}, and labels are texts"
        elif not label:
            why = "labels may not be empty"
        elif "." in label or "\x00" in label:
            why = "labels may hold no period and no NUL byte"
        else:
            continue
        raise InvalidNamespaceError(f"Invalid namespace label {label!r} in {tuple(namespace)}: {why}")


def _inside_all(label: str, conditions: Sequence[MatchCondition]) -> tuple[MatchCondition, ...]:
    made = [MatchCondition("prefix", (label,))]
    for condition in conditions:
        if condition.match_type == "suffix":
            # Deep enough that the label cannot be a part of what matches: a "*" would match it.
            made += [MatchCondition("prefix", (label, *("*" for _ in condition.path))), condition]
        else:
            made.append(MatchCondition("prefix", (label, *condition.path)))
    return tuple(made)


def outside(result: Result) -> Result:
    """What LangGraph's store gave, with the graph's own namespaces."""
    if isinstance(result, list):
        return [_own(one) for one in result]
    return None if result is None else _own(result)


def _own(found: Any) -> Any:
    if isinstance(found, Item):
        found.namespace = found.namespace[1:]
        found.created_at, found.updated_at = _utc(found.created_at), _utc(found.updated_at)
        return found
    return found[1:]  # a namespace


def _utc(time: datetime) -> datetime:
    """SQLite drops the zone, PostgreSQL answers in the session's."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
