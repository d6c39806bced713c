"""Logging to stderr: one line per event, with the action that it reports."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

from langgraph_worker.broker.kafka.client_configs import LIBRDKAFKA_LOGGER
from langgraph_worker.telemetry.steady_loggers import make_steady
from workflow_events.kafka_errors import without_secrets
from workflow_events.plain_text import indented


class LineFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO  [accepted] accepted 0c5f...``; a line without an action names its logger."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        self.converter = time.gmtime
        super().__init__("%(asctime)s %(levelname)-7s [%(action)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        if not hasattr(record, "action"):
            record.action = record.name
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Escape control characters: text of an event must not look like a line of ours, nor control a terminal."""
        record.message = indented(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """A traceback as indented lines: an exception's text may hold anything, too."""
        return indented(f"    {super().formatException(ei)}")

    def formatStack(self, stack_info: str) -> str:
        """A stack as indented lines."""
        return indented(f"    {stack_info}")


def set_up_logging(level: str) -> None:
    """Send everything of ``level`` and above to stderr.

    Libraries log from WARNING on, or from INFO on if the level is DEBUG: their DEBUG shows the data that they handle.
    A project may set up its own logging; the worker's lines stay as they are.
    """
    debug = level == "DEBUG"
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, handlers=[_to_stderr()], force=True)
    make_steady(level, _to_stderr())
    librdkafka = logging.getLogger(LIBRDKAFKA_LOGGER)
    librdkafka.setLevel(logging.DEBUG if debug else logging.CRITICAL)
    librdkafka.addFilter(_hide_secrets)
    logging.captureWarnings(True)


def _to_stderr() -> logging.StreamHandler[TextIO]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    return handler


def _hide_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True
