"""The operator for one agent that a mapping describes: ``agent_config``, ``input_data`` and ``model``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_langgraph.airflow_compat.native_rendering import name_as_text
from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.agent_config import (
    NAME_KEYS,
    OperatorArguments,
    author_names,
    check_agent_config,
    read_agent_config,
    with_defaults,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["LangGraphOperator"]

_REPLACED = {
    "graph": "write agent_config={'type': ...}",
    "assistant": "write agent_config={'assistant': ...}",
    "context": "write agent_config={'context': ...}",
    "config": "write its keys into agent_config itself",
    "input": "write input_data=...",
}
"""Arguments of the base class that this form has in another place -> the remedy."""


class LangGraphOperator(LangGraphTriggerOperator):
    """Runs one agent, which ``agent_config`` describes, and returns its result.

    Another form of :class:`LangGraphTriggerOperator`, which does the work: all of its other arguments are accepted, and
    its return value and errors are the same.

    :param agent_config: (templated) a mapping. ``type`` is the graph's name in the workers' ``langgraph.json``;
        ``graph`` and ``name`` mean the same. ``assistant`` and ``context`` are as there, and so are the settings of the
        run: ``model``, ``tags``, ``recursion_limit``, ``configurable`` and the other keys of ``config``. None: the
        fleet's default graph.
    :param input_data: (templated) the graph's input: a mapping of JSON values, or whatever JSON the graph takes.
    :param model: (templated) the chat model by name, instead of ``agent_config['model']``.
    :param kwargs: the other arguments of :class:`LangGraphTriggerOperator`, and Airflow's own.
    :raises SettingsError: when the DAG file is parsed: a key of ``agent_config`` is unknown or contradicts another.
    """

    template_fields: Sequence[str] = (
        *("agent_config", "input_data", "model"),
        *(name for name in LangGraphTriggerOperator.template_fields if name not in _REPLACED),
    )
    template_fields_renderers = {"agent_config": "json", "input_data": "json", "budget": "json"}  # noqa: RUF012 - as Airflow declares it

    def __init__(
        self,
        *,
        agent_config: Mapping[str, Any] | None = None,
        input_data: Any = None,
        model: str | None = None,
        **kwargs: Any,
    ) -> None:
        for name in sorted(_REPLACED.keys() & kwargs.keys()):
            raise SettingsError(f"LangGraphOperator takes no argument {name}: {_REPLACED[name]}")
        defaults = kwargs.get("default_args") or {}
        agent_config = with_defaults(agent_config, model, defaults)
        super().__init__(**kwargs)
        check_agent_config(agent_config, model, _ARGUMENTS)
        self.agent_config = agent_config
        self.input_data = defaults.get("input") if input_data is None else input_data
        self.model = model

    def execute(self, context: Context) -> Any:
        """Read the rendered mapping, and ask the agent."""
        settings = read_agent_config(self.agent_config, self.model, _ARGUMENTS)
        self.graph = settings.graph
        self.assistant = settings.assistant
        self.context = settings.context
        self.config = settings.config
        self.input = self.input_data
        return super().execute(context)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *arguments: Any, **named: Any
    ) -> None:
        templates, model = self.agent_config, self.model
        super()._do_render_template_fields(parent, template_fields, context, *arguments, **named)
        if parent is self:
            self.model = name_as_text(self, model, self.model, context)
            self._note_what_lacks(model, self.model, context, "model")
            if isinstance(templates, Mapping) and isinstance(self.agent_config, Mapping):
                names = {key: value for key, value in self.agent_config.items() if key in NAME_KEYS}
                names = name_as_text(self, templates, names, context)
                self._note_what_lacks(templates, names, context, "agent_config")
                self.agent_config = {**self.agent_config, **names}

    @property
    def _author_names(self) -> Mapping[str, str]:
        return author_names(self.agent_config)


def _parameters(operator: type[BaseOperator]) -> frozenset[str]:
    return frozenset(inspect.signature(operator.__init__).parameters) - {"self", "kwargs"}


_ARGUMENTS = OperatorArguments(
    own=(_parameters(LangGraphTriggerOperator) | _parameters(LangGraphOperator)) - {"agent_config", *_REPLACED},
    inherited=_parameters(BaseOperator),
    moved=_REPLACED,
)
