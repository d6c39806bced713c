"""``langgraph-worker api``: serve the fleet's API over HTTP; and ``api-token``: make a client's token."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
from collections.abc import Mapping

from langgraph_worker.cli.output import print_note
from langgraph_worker.cli.service_log import begin_service_log
from langgraph_worker.errors import SettingsError
from langgraph_worker.graphs.command_redactor import command_redactor
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.logs import redact_logs

_NEEDED = ("fastapi", "uvicorn")


def api(flags: Mapping[str, str]) -> int:
    """Serve until SIGTERM or Ctrl-C; 0.

    :raises WorkerError: the settings are wrong, the extra ``api`` is not installed, or the store cannot be used.
    """
    settings = load_settings(flags)
    begin_service_log(settings)
    _require_extra()
    from langgraph_worker.api.serve import serve

    redactor = command_redactor(settings)
    redact_logs(redactor)
    asyncio.run(serve(settings, redactor))
    return 0


def _require_extra() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"the package {missing[0]} is missing: pip install 'airflow-provider-langgraph[worker,api]'"
        )


def api_token(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Print a new token, and the entry of the token file that lets it in; 0. Nothing is written.

    :raises SettingsError: the name is no name.
    """
    from langgraph_worker.api.tokens import digest_of, new_token, read_tokens

    token = new_token()
    limits = {"graphs": arguments.graph, "deployments": arguments.deployment}
    entry = {"name": arguments.name, "sha256": digest_of(token), "role": arguments.role}
    entry |= {name: given for name, given in limits.items() if given}
    text = "\n".join(["[[tokens]]", *(f"{name} = {_toml(value)}" for name, value in entry.items())])
    try:
        read_tokens(text.encode())
    except ValueError as error:
        raise SettingsError(f"api-token: {error}") from None
    print(text, flush=True)
    print_note("add the lines above to the file that LANGGRAPH_WORKER_API_TOKENS_FILE names")
    print_note(f"the client's token, which is kept nowhere: {token}")
    return 0


def _toml(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=True)  # strings and lists of them are the same in both
