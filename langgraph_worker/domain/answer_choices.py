"""What an answer's run keeps of the request that asked: an answer brings a value, and seldom chooses anything."""

from __future__ import annotations

from typing import Any

from workflow_events.models import WorkflowEvent

_LIMITS_AND_STOPS = ("tags", "recursion_limit", "max_concurrency", "interrupt_before", "interrupt_after")


def with_choices_of(answer: WorkflowEvent, asked: WorkflowEvent) -> WorkflowEvent:
    """The answer with the context, assistant and config of the request that asked: the graph's nodes go on with what
    they began with. What the answer sets itself holds; its values (context, assistant, model, configurable) hold
    together, as those of two requests may not fit each other.
    """
    changes: dict[str, Any] = {
        name: getattr(asked.config, name) for name in _LIMITS_AND_STOPS if not getattr(answer.config, name)
    }
    has_values = answer.assistant or answer.context is not None or answer.config.model or answer.config.configurable
    if has_values:
        return answer.model_copy(update={"config": answer.config.model_copy(update=changes)})
    changes |= {"model": asked.config.model, "configurable": asked.config.configurable}
    config = answer.config.model_copy(update=changes)
    return answer.model_copy(update={"config": config, "context": asked.context, "assistant": asked.assistant})
