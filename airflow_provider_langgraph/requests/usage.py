"""What a run has spent, where people and other tasks find it: the log, and an XCom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from workflow_events.plain_text import one_line
from workflow_events.results import ModelUsage, WorkflowResultEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

XCOM_KEY = "usage"

_COUNTS = (
    "requests",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "tool_calls",
    "cache_read_tokens",
    "cache_write_tokens",
)


def push_usage(usage: Mapping[str, ModelUsage], context: Context, log: Any) -> None:
    """Push what models took as the XCom ``usage``, however the run ended; none if no model was called.

    The form is that of Airflow's common-ai provider, so that one task can sum both, and has one key more, ``models``.

    :param usage: by model.
    """
    if not usage:
        return
    try:
        context["ti"].xcom_push(key=XCOM_KEY, value=as_xcom(usage))
    except Exception as error:  # noqa: BLE001 - how the run ended matters more
        log.warning("The XCom %r cannot be written: %s", XCOM_KEY, error)


def as_xcom(usage: Mapping[str, ModelUsage]) -> dict[str, Any]:
    """The usage of all models, and that of each. A cost is the text of a number, or None if a price is not known."""
    models = {model: _flat([used]) for model, used in usage.items()}
    return {**_flat(usage.values()), "models": models}


def summed(usages: Iterable[Mapping[str, ModelUsage]]) -> dict[str, ModelUsage]:
    """What several runs took together, by model. A cost is None where one of them is not known."""
    found: dict[str, list[ModelUsage]] = {}
    for usage in usages:
        for model, used in usage.items():
            found.setdefault(model, []).append(used)
    return {model: _sum(some) for model, some in found.items()}


def _sum(usage: Sequence[ModelUsage]) -> ModelUsage:
    counts = {name: sum(getattr(used, name) for used in usage) for name in _COUNTS}
    costs = [used.cost_usd for used in usage]
    return ModelUsage(**counts, cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs))


def in_words(result: WorkflowResultEvent) -> str:
    """``, 1,200 tokens of gpt-4o, $0.0042``, to follow a sentence; empty if no model was called."""
    tokens = "".join(f", {used.total_tokens:,} tokens of {one_line(model)}" for model, used in result.usage.items())
    cost = _cost(result.usage.values()) if result.usage else None
    if cost is not None:
        return f"{tokens}, ${cost}"
    return f"{tokens}, cost not known" if tokens else ""


def _flat(usage: Iterable[ModelUsage]) -> dict[str, Any]:
    every = list(usage)
    counts = {name: sum(getattr(used, name) for used in every) for name in _COUNTS}
    return {**counts, "cost": _cost(every)}


def _cost(usage: Iterable[ModelUsage]) -> str | None:
    costs = [used.cost_usd for used in usage]
    if any(cost is None for cost in costs):
        return None
    total = Decimal(str(round(sum(cost or 0.0 for cost in costs), 10)))
    return f"{total.normalize():f}"
