"""What redacts the output of a command that needs no graph: of the project, its hook alone is imported."""

from __future__ import annotations

import json
import os

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.settings.known_secrets import known_secrets
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.secret_values import take_secrets_out_of_environment


def command_redactor(settings: WorkerSettings) -> Redactor:
    """The redactor of the settings' project. Where its ``langgraph.json`` is not, only known secrets are masked.

    :raises GraphLoadError: the project has a hook that cannot be used: nothing may be shown without it.
    """
    secrets = known_secrets(settings, os.environ)
    if not _has_hook(settings):
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


def _has_hook(settings: WorkerSettings) -> bool:
    try:
        body = json.loads(settings.langgraph_json.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise GraphLoadError(
            f"{settings.langgraph_json} cannot be read, and may name a redaction hook: {type(error).__name__}"
        ) from None
    return isinstance(body, dict) and body.get("redact") is not None
