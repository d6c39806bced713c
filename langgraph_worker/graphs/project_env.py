"""The variables that a project brings: ``env`` in ``langgraph.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from langgraph_worker.errors import GraphLoadError


def project_env(path: Path, value: Any) -> dict[str, str]:
    """The variables of a manifest's ``env``: a file's name, or an object.

    :param path: the manifest.
    :raises GraphLoadError: names the file, the key and what is right.
    """
    if isinstance(value, str):
        file = path.parent / value
        if not file.is_file():
            raise GraphLoadError(f"{path}: key 'env': there is no file {file}")
        return {name: text for name, text in dotenv_values(file).items() if text is not None}
    if isinstance(value, dict):
        return {str(name): str(text) for name, text in value.items()}
    raise GraphLoadError(f"{path}: key 'env' must be a file's name or an object of variables")
