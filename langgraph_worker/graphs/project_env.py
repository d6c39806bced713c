"""The variables that a project brings: ``env`` in ``langgraph.json``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.settings.secret_values import secret_variables

_EXAMPLES = (".env.example", ".env.sample", ".env.template", "env.example", "example.env")


def project_env(path: Path, value: Any) -> tuple[dict[str, str], list[str]]:
    """The variables of a manifest's ``env``: a file's name, or an object.

    :param path: the manifest.
    :returns: the variables, and a sentence if the file is missing: git ignores it in most projects.
    :raises GraphLoadError: names the file, the key and what is right.
    """
    if value is None or value == "":
        return {}, []
    if isinstance(value, str):
        return _from_file(path, Path(os.path.normpath(path.parent / value)))
    if isinstance(value, dict):
        return {str(name): str(text) for name, text in value.items() if text is not None}, []
    raise GraphLoadError(f"{path}: key 'env' must be a file's name or an object of variables")


def set_variables(env: Mapping[str, str]) -> None:
    """Put a project's variables into the environment, whose own win. Those that hold the worker's secrets stay out,
    also where one ``.env`` file is the worker's and the project's.
    """
    secrets = secret_variables()
    for name, value in env.items():
        if name.upper() not in secrets:
            os.environ.setdefault(name, value)


def _from_file(path: Path, file: Path) -> tuple[dict[str, str], list[str]]:
    if not file.is_file():
        examples = [file.with_name(name) for name in (f"{file.name}.example", *_EXAMPLES)]
        example = next((candidate for candidate in examples if candidate.is_file()), None)
        remedy = f"copy {example} to it and fill it in" if example else "write it"
        return {}, [f"key 'env': there is no file {file}: {remedy}, or set its variables in the worker's environment"]
    try:
        return {name: text for name, text in dotenv_values(file).items() if text is not None}, []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise GraphLoadError(f"{path}: key 'env': {file} cannot be read: {reason}") from None
