"""``langgraph-worker run``: take events and run their graphs, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from langgraph_worker.cli.service_log import begin_service_log
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.store_url import shown_url
from langgraph_worker.telemetry.logs import redact_logs

logger = logging.getLogger(__name__)


def run(flags: Mapping[str, str]) -> int:
    """Work until a signal comes; the process's exit code.

    :raises WorkerError: the settings are wrong, or the worker cannot start.
    """
    settings = load_settings(flags)
    begin_service_log(settings)
    began = time.monotonic()
    logger.info("importing LangGraph and the graphs of %s", settings.langgraph_json, extra={"action": "starting"})
    # Imported only now: LangGraph takes seconds to import, and a wrong setting should be reported at once.
    from langgraph_worker.graphs.project import load_project
    from langgraph_worker.runtime.process import serve

    graphs = load_project(settings, _warn, on_redactor=redact_logs)
    logger.info(
        "imported in %.1f s: graphs %s; connecting to Kafka at %s as %s, run store %s",
        time.monotonic() - began,
        ", ".join(sorted(graphs.names)),
        settings.kafka_bootstrap_servers,
        settings.fleet_in_words,
        shown_url(settings.store_url),
        extra={"action": "starting"},
    )
    return serve(settings, graphs)


def _warn(sentence: str) -> None:
    logger.warning("%s", sentence, extra={"action": "project"})
