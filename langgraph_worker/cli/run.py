"""``langgraph-worker run``: take events and run their graphs, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from langgraph_worker.settings.load import load_settings, misspelt_variables
from langgraph_worker.telemetry.logs import set_up_logging

logger = logging.getLogger(__name__)


def run(flags: Mapping[str, str]) -> int:
    """Work until a signal comes; the process's exit code.

    :raises WorkerError: the settings are wrong, or the worker cannot start.
    """
    settings = load_settings(flags)
    set_up_logging(settings.log_level)
    # Imported only now: LangGraph takes a second to import, and a wrong setting should be reported at once.
    from langgraph_worker.graphs.project import load_project
    from langgraph_worker.runtime.process import serve

    logger.info(
        "worker starting: Kafka at %s, %s, graphs of %s",
        settings.kafka_bootstrap_servers,
        settings.fleet_in_words,
        settings.langgraph_json,
        extra={"action": "starting"},
    )
    for name in misspelt_variables():
        logger.warning("%s is set, but no setting has this name", name, extra={"action": "config"})
    return serve(settings, load_project(settings, _warn))


def _warn(sentence: str) -> None:
    logger.warning("%s", sentence, extra={"action": "project"})
