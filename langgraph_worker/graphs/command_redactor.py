"""What redacts the output of a command that needs no graph: of the project, its hook alone is imported."""

from __future__ import annotations

import json
import os
from typing import Any

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.project_env import project_env, set_variables
from langgraph_worker.settings.known_secrets import known_secrets
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.secret_values import take_secrets_out_of_environment


def command_redactor(settings: WorkerSettings) -> Redactor:
    """The redactor of the settings' project, whose variables come into the environment. Where its ``langgraph.json`` is
    not, only the secrets of the settings and of the environment are masked.

    :raises GraphLoadError: the project has a hook that cannot be used: nothing may be shown without it.
    """
    body = _manifest(settings)
    set_variables(project_env(settings.langgraph_json.absolute(), body.get("env"))[0])
    secrets = known_secrets(settings, os.environ)
    if body.get("redact") is None:
        return Redactor(secrets)
    # Only here: the graphs' modules import LangGraph, which takes a second.
    from langgraph_worker.graphs.graph_module import append_import_paths
    from langgraph_worker.graphs.loader import variable_of
    from langgraph_worker.graphs.manifest import read_manifest
    from langgraph_worker.graphs.redaction_hook import load_hook

    take_secrets_out_of_environment()
    manifest = read_manifest(settings.langgraph_json)
    append_import_paths(manifest)
    return Redactor(secrets, load_hook(manifest.path, manifest.redact, lambda spec: variable_of(spec, manifest)))


def _manifest(settings: WorkerSettings) -> dict[str, Any]:
    try:
        body = json.loads(settings.langgraph_json.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise GraphLoadError(
            f"{settings.langgraph_json} cannot be read, and may name a redaction hook: {type(error).__name__}"
        ) from None
    return body if isinstance(body, dict) else {}
