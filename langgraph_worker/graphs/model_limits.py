"""What a project's providers allow of its models, for all workers of the fleet together.

The key ``models`` of ``langgraph.json``, which only this worker reads::

    {"models": {
        "openai:gpt-5": {"requests_per_minute": 60, "tokens_per_minute": 200000},
        "llama3": {"requests_per_minute": 20}
    }}

A model is named as its client reports it, with its provider before a colon or without: then the limit holds for the
model of each provider by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph_worker.domain.model_turns import ModelLimit
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.graph_budget import is_number
from workflow_events.models import MOST_COUNTED
from workflow_events.nearest_name import did_you_mean

_REQUESTS, _TOKENS = "requests_per_minute", "tokens_per_minute"
_KEYS = (_REQUESTS, _TOKENS)
_MOST_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The limits of a project.

    :param by_name: as the manifest names the models.
    """

    by_name: Mapping[str, ModelLimit] = field(default_factory=dict)

    def of(self, name: str, provider: str | None) -> ModelLimit | None:
        """The limit of a model; None: it has none."""
        if provider is not None and (named := self.by_name.get(f"{provider}:{name}")) is not None:
            return named
        return self.by_name.get(name)

    def meant(self, name: str, provider: str | None, answered: str) -> str | None:
        """The limit that was probably meant for a model that has none: it has the name that the model answers with, or
        another provider's; None: there is no such limit.

        :param answered: the name in the model's answer: a version, where an alias was asked for.
        """
        names = (f"{provider}:{answered}", answered, *(key for key in self.by_name if key.partition(":")[2] == name))
        return next((one for one in names if one in self.by_name), None)


def model_limits(path: Path, value: Any) -> ModelLimits:
    """The limits that a manifest has.

    :param path: the manifest.
    :raises GraphLoadError: names the file, the key, its value and what is right.
    """
    if value is None:
        return ModelLimits()
    if not isinstance(value, Mapping):
        raise GraphLoadError(
            f"{path}: key 'models' must be an object with the names of models, such as \"openai:gpt-5\", not {value!r}"
        )
    return ModelLimits({name: _limit(f"{path}: key 'models.{name}'", name, entry) for name, entry in value.items()})


def _limit(where: str, name: str, entry: Any) -> ModelLimit:
    if not 1 <= len(name) <= _MOST_CHARACTERS or name != name.strip():
        raise GraphLoadError(f"{where}: a model's name has 1 to {_MOST_CHARACTERS} characters, and no blanks around it")
    if not isinstance(entry, Mapping) or not entry:
        raise GraphLoadError(f"{where} must be an object with one or both of {', '.join(_KEYS)}, not {entry!r}")
    for key, number in entry.items():
        if key not in _KEYS:
            raise GraphLoadError(
                f"{where} has no key {key!r}.{did_you_mean(key, _KEYS)} It may have {', '.join(_KEYS)}"
            )
        if not is_number(number) or not isinstance(number, int) or not 1 <= number <= MOST_COUNTED:
            raise GraphLoadError(f"{where}: {key!r} must be a whole number above 0, not {number!r}")
    return ModelLimit(entry.get(_REQUESTS), entry.get(_TOKENS))
