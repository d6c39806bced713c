"""Read the settings from flags and environment, and explain what is wrong with one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from langgraph_worker.errors import SettingsError
from langgraph_worker.settings.explain import documentation
from langgraph_worker.settings.model import PREFIX, WorkerSettings, env_name
from langgraph_worker.settings.secret_values import SecretFile, secret_files
from workflow_events.nearest_name import nearest_name

_NO_DEFAULT = "default_factory_not_called"  # as pydantic calls it


def load_settings(flags: Mapping[str, str]) -> WorkerSettings:
    """Settings from flags (by field name), the environment, and the files that these name for secrets.

    :raises SettingsError: the text names every wrong setting, where its value came from, why it is wrong and what is
        right.
    """
    given: dict[str, Any] = {env_name(field): value for field, value in flags.items()}
    files = secret_files(given)
    given |= {env: file.read() for env, file in files.items()}
    try:
        return WorkerSettings(**given)
    except ValidationError as error:
        # A default that follows from the fleet's name is missing only because another setting is wrong.
        details = [detail for detail in error.errors(include_url=False) if detail["type"] != _NO_DEFAULT]
        lines = [_explain(detail, flags, files) for detail in details]
        raise SettingsError("\n".join(lines)) from None


def _explain(detail: ErrorDetails, flags: Mapping[str, str], files: Mapping[str, SecretFile]) -> str:
    reason = detail["msg"].removeprefix("Value error, ")
    known = {setting.env: setting for setting in documentation()}
    setting = known.get(str(detail["loc"][0])) if detail["loc"] else None
    if setting is None:
        return f"settings: {reason}. Two KAFKA_..._TOPIC settings must not name the same topic"
    if setting.env in files:
        name, place = setting.env, f"file {files[setting.env].path}"
    elif setting.field in flags and setting.flag:
        name, place = setting.flag, f"flag; the environment variable would be {setting.env}"
    else:
        name, place = setting.env, "environment variable" if setting.env in _environment() else "default"
    inner = ".".join(str(part) for part in detail["loc"][1:] if isinstance(part, str) and "." in part)
    value = "" if setting.secret else f"={detail['input']!r}"
    return f"{name}{value} ({place}): {inner + ': ' if inner else ''}{reason}. It is: {setting.description}"


def _environment() -> set[str]:
    return {name.upper() for name in os.environ}


def misspelt_warnings() -> list[str]:
    """A sentence for each of :func:`misspelt_variables`, with the name that was probably meant."""
    known = {setting.env.removeprefix(PREFIX): setting.env for setting in documentation()}
    found = []
    for name in misspelt_variables():
        # Without what all of them begin with, which makes each name like each other one.
        meant = nearest_name(name.removeprefix(PREFIX), known)
        found.append(f"{name} is set, but no setting has this name.{f' Did you mean {known[meant]}?' if meant else ''}")
    return found


def misspelt_variables() -> list[str]:
    """Environment variables with the worker's prefix that no setting reads, without those that Kubernetes adds."""
    known = {setting.env for setting in documentation()}
    misspelt = sorted(name for name in _environment() if name.startswith(PREFIX) and name not in known)
    return [name for name in misspelt if not name.startswith((PREFIX + "SERVICE_", PREFIX + "PORT"))]
