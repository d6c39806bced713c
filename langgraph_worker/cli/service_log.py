"""The log of a command that runs until a signal comes."""

from __future__ import annotations

import logging
import os

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.settings.known_secrets import known_secrets
from langgraph_worker.settings.load import misspelt_warnings
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.telemetry.logs import log_uncaught, redact_logs, set_up_logging

logger = logging.getLogger(__name__)


def begin_service_log(settings: WorkerSettings) -> None:
    """Log by the settings, without the secrets that they hold, and warn of misspelt ones."""
    set_up_logging(settings.log_level, settings.log_format)
    log_uncaught()
    redact_logs(Redactor(known_secrets(settings, os.environ)))  # until the project and its hook are there
    for warning in misspelt_warnings():
        logger.warning("%s", warning, extra={"action": "config"})
