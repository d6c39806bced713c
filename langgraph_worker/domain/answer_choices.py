"""What an answer's run keeps of the request that asked: an answer brings a value, and seldom chooses anything."""

from __future__ import annotations

from typing import Any

from langgraph_worker.domain.accounts import Account
from langgraph_worker.domain.budgets import lower_of
from workflow_events.models import WorkflowEvent

_LIMITS_AND_STOPS = ("tags", "recursion_limit", "max_concurrency", "interrupt_before", "interrupt_after")


def with_choices_of(answer: WorkflowEvent, asked: WorkflowEvent) -> WorkflowEvent:
    """The answer with the context, assistant and config of the request that asked: the graph's nodes go on with what
    they began with. What the answer sets itself holds; its values (context, assistant, model, configurable) hold
    together, as those of two requests may not fit each other. Of two priorities, the higher one holds. Of two budgets,
    the lower limit of each kind holds; what a DAG run may spend is compared for its own answers alone: those of another
    one spend for that one.
    """
    changes: dict[str, Any] = {
        name: getattr(asked.config, name) for name in _LIMITS_AND_STOPS if not getattr(answer.config, name)
    }
    has_values = answer.assistant or answer.context is not None or answer.config.model or answer.config.configurable
    is_of_same = Account.of(answer, "")[0] == Account.of(asked, "")[0]
    asked_budget = asked.budget
    if asked_budget is not None and not is_of_same:
        asked_budget = asked_budget.model_copy(update={"dag_run": None})
    budget = lower_of(answer.budget, asked_budget)
    shared = {"budget": budget, "priority": max(answer.priority, asked.priority)}
    if has_values:
        return answer.model_copy(update={**shared, "config": answer.config.model_copy(update=changes)})
    changes |= {"model": asked.config.model, "configurable": asked.config.configurable}
    config = answer.config.model_copy(update=changes)
    kept = {"context": asked.context, "assistant": asked.assistant}
    return answer.model_copy(update={**shared, "config": config, **kept})
