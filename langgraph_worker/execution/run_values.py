"""The values that a run has by name: of its graph's entry in ``langgraph.json``, of its assistant, of its event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langgraph_worker.domain import faults
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.graphs.assistants import GraphValues, assistant_id
from langgraph_worker.graphs.graph_spec import GraphSpec
from workflow_events.models import WorkflowEvent

_FALLBACK_AT = "the model for an input that is too long (retries.context_length of the graph's entry): value '"


@dataclass(frozen=True, slots=True)
class Layer:
    """The values of one source.

    :param context: None if it has none.
    :param context_at: how an error names a value of ``context``; the value's name and a quotation mark follow.
    :param configurable_at: the same for ``configurable``.
    """

    context: Mapping[str, Any] | None
    configurable: Mapping[str, Any]
    context_at: str = "field 'context."
    configurable_at: str = "field 'config.configurable."


@dataclass(frozen=True, slots=True)
class RunValues:
    """All values of a run.

    :param layers: what is set, the weakest source first.
    :param assistant_id: of the graph, or of the assistant that the event names.
    """

    layers: tuple[Layer, ...]
    assistant_id: UUID

    def configurable(self) -> dict[str, Any]:
        """What nodes find by name in ``config["configurable"]``: as LangGraph's server does it, also the context."""
        values: dict[str, Any] = {}
        for layer in self.layers:
            values |= {**(layer.context or {}), **layer.configurable}
        return values

    def as_json(self) -> str:
        """All of it as a text, equal for equal values: a node may read what is not in its input."""
        known = [[layer.context, dict(layer.configurable)] for layer in self.layers]
        return json.dumps([str(self.assistant_id), known], sort_keys=True)


def run_values(event: WorkflowEvent, spec: GraphSpec, model: str | None = None) -> RunValues:
    """Put a run's values together.

    :param spec: the graph's entry in the manifest.
    :param model: with which the worker lets it go on, whatever model the others name.
    :raises RunFaultError: ``unknown_assistant``.
    """
    layers = [_of_manifest(spec.values, spec.name, "")]
    if event.assistant is not None:
        assistant = spec.assistants.get(event.assistant)
        if assistant is None:
            known = ", ".join(sorted(spec.assistants)) or "none"
            text = (
                f"field 'assistant': graph {spec.name!r} has no assistant {event.assistant!r}. Choose one of those it "
                f"has, or add it to 'assistants' in its entry in langgraph.json, which lists: {known}"
            )
            raise RunFaultError(faults.UNKNOWN_ASSISTANT, text)
        layers.append(_of_manifest(assistant, spec.name, f"assistants.{event.assistant}."))
    chosen: dict[str, Any] = dict(event.config.configurable)
    if event.config.model is not None:
        chosen["model"] = event.config.model
    layers.append(Layer(event.context, chosen))
    if model is not None:
        layers.append(Layer(None, {"model": model}, configurable_at=_FALLBACK_AT))
    return RunValues(tuple(layers), assistant_id(spec.name, event.assistant))


def _of_manifest(values: GraphValues, graph: str, place: str) -> Layer:
    at = f"langgraph.json, graph {graph!r}: key '{place}"
    return Layer(values.context, values.configurable, f"{at}context.", f"{at}configurable.")
