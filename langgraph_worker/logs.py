"""Logging to stderr: one line per event, with the action that it reports."""

from __future__ import annotations

import logging
import sys
import time

from langgraph_worker.kafka.config import LIBRDKAFKA_LOGGER

_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
_HARMLESS = {code: repr(chr(code))[1:-1] for code in _CONTROLS} | {ord("\t"): "\t", ord("\n"): "\n    "}


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
        """What an event named must not look like a line of ours, nor steer a terminal."""
        record.message = record.message.translate(_HARMLESS)
        return super().formatMessage(record)


def set_up_logging(level: str) -> None:
    """Send everything of ``level`` and above to stderr.

    Libraries speak from WARNING on, from INFO on if the level is DEBUG: their DEBUG shows the data that they handle.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    debug = level == "DEBUG"
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("langgraph_worker").setLevel(level)
    logging.getLogger(LIBRDKAFKA_LOGGER).setLevel(logging.DEBUG if debug else logging.CRITICAL)
    logging.captureWarnings(True)
