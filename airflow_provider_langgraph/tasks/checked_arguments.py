"""What the tasks share that name a misspelt argument, and what was probably meant."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_langgraph.exceptions import SettingsError
from workflow_events.models import RunConfig, SpendLimits
from workflow_events.nearest_name import did_you_mean, nearest_name

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    _Operator = BaseOperator
else:
    _Operator = object  # those that mix it in have base classes of their own

_PACKAGE = "airflow_provider_langgraph."
_OF_OTHERS = {
    "agent_config": "LangGraphOperator",
    "input_data": "LangGraphOperator",
    "handle": "LangGraphResultSensor",
    "question": "LangGraphResumeOperator",
    "answer": "LangGraphResumeOperator",
    "answers": "LangGraphResumeOperator",
    "answered_by": "LangGraphResumeOperator",
    "graph": "LangGraphTriggerOperator",
    "input": "LangGraphTriggerOperator",
    "context": "LangGraphTriggerOperator",
    "assistant": "LangGraphTriggerOperator",
    "config": "LangGraphTriggerOperator",
    "thread_id": "LangGraphTriggerOperator",
    "workflow_id": "LangGraphTriggerOperator",
    "wait_for_completion": "LangGraphTriggerOperator",
    "on_retry": "LangGraphTriggerOperator",
    "on_clear": "LangGraphTriggerOperator",
    "check_graph": "LangGraphTriggerOperator",
}
"""An argument -> the operator whose own it is. What is written like one of them is no argument of Airflow's."""

_STANDS_IN = {
    "response_timeout": {"answer_timeout": "answer_timeout=..."},
    "interrupt_id": {"answers": "answers={interrupt_id: answer}"},
    "correlation_id": {"handle": "handle=ask.output"},
    "state": {"input_data": "input_data=...", "input": "input=..."},
    **{
        name: {
            "agent_config": f"agent_config={{'{name}': ...}}",
            "config": f"config={{'{name}': ...}}",
            "agents": f"agents=[{{..., '{name}': ...}}]",
        }
        for name in RunConfig.model_fields
    },
    **{name: {"budget": f"budget={{'{name}': ...}}"} for name in SpendLimits.model_fields},
}
"""A name that authors give -> by the argument where it stands, how it is written there. The first argument that the
operator has counts."""

_NAMED = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class CheckedArguments(_Operator):
    """A task that refuses an argument which nobody knows, before Airflow does: its error only lists them.

    :cvar arguments_elsewhere: arguments of other operators, which an author may try here -> what to do instead.
    """

    arguments_elsewhere: Mapping[str, str] = MappingProxyType({})

    def __new__(cls, *arguments: Any, **kwargs: Any) -> Self:
        # Airflow asks for arguments that are missing before any __init__ runs; one of them may be misspelt.
        require_known_arguments(cls, kwargs, f" (task {kwargs.get('task_id')!r})")
        return super().__new__(cls)

    def __init__(self, **kwargs: Any) -> None:
        require_known_arguments(type(self), kwargs, f" (task {kwargs.get('task_id')!r})")
        super().__init__(**kwargs)


def require_known_arguments(operator: type, given: Iterable[str], where: str = "") -> None:
    """Check the names of an operator's arguments.

    :param operator: its class; what any of its base classes takes, a subclass of an author's too, is known.
    :param where: follows the argument's name in the error.
    :raises SettingsError: a name is unknown; says which one was probably meant.
    """
    own, inherited = _parameters(operator)
    for name in given:
        if name not in own and name not in inherited and not name.startswith("_"):  # Airflow hands over some of its own
            elsewhere = getattr(operator, "arguments_elsewhere", {}).get(name, "")
            shown = getattr(operator, "custom_operator_name", operator.__name__)
            meant = f" {elsewhere}" if elsewhere else _meant(name, own, inherited)
            remedy = meant or f" It takes those of every Airflow task, and {', '.join(sorted(own))}"
            raise SettingsError(f"{shown} takes no argument {name!r}{where}.{remedy}")


def _meant(name: str, own: frozenset[str], inherited: frozenset[str]) -> str:
    """What was probably meant, to follow a sentence; empty if that is not known."""
    for argument, form in _STANDS_IN.get(name, {}).items():
        if argument in own:
            return f" Write {form}"
    if name in _OF_OTHERS:
        return f" It is one of {_OF_OTHERS[name]}"
    meant = did_you_mean(name, own)
    return meant if meant or nearest_name(name, _OF_OTHERS) else did_you_mean(name, inherited)


def _parameters(operator: type) -> tuple[frozenset[str], frozenset[str]]:
    """The names that this provider's classes take, and those that all others of an operator do."""
    own: set[str] = set()
    inherited: set[str] = set()
    for base in operator.__mro__:
        if "__init__" in vars(base):
            names = own if base.__module__.startswith(_PACKAGE) else inherited
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names.update(one.name for one in parameters if one.kind in _NAMED and one.name != "self")
    return frozenset(own - {"python_callable"}), frozenset(inherited)
