"""Logging to stderr: one line per event, with the action that it reports, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from langgraph_worker.broker.kafka.client_configs import LIBRDKAFKA_LOGGER
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.telemetry.run_labels import present_labels
from langgraph_worker.telemetry.steady_loggers import make_steady
from workflow_events.kafka_errors import without_secrets
from workflow_events.plain_text import indented

LogFormat = Literal["text", "json"]

_redactor = Redactor()  # of this process


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
        record.message = indented(_redacted(record.message, "message"))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """A traceback as indented lines: an exception's text may hold anything, too."""
        return indented(f"    {_redacted(super().formatException(ei), 'exception')}")

    def formatStack(self, stack_info: str) -> str:
        """A stack as indented lines."""
        return indented(f"    {_redacted(stack_info, 'stack')}")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs that collect logs.

    ``time`` (UTC), ``level``, ``logger``, ``action`` and ``message`` are always there; ``exception`` and ``stack`` hold
    text of several lines. Every line that belongs to a run, a graph's own too, has the run's ``correlation_id``,
    ``workflow_id`` (the DAG), ``workflow_run_id``, ``graph`` and ``thread_id``, and where it is traced its ``trace_id``
    and ``span_id``; what a line reports besides, such as ``status`` and ``duration``, has its own name.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One record as JSON."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "action": None,
            "message": _redacted(record.getMessage(), "message"),
            **present_labels(),
            **{name: _extra(name, value) for name, value in vars(record).items() if name not in _OF_EVERY_RECORD},
        }
        if record.exc_info:
            fields["exception"] = _redacted(self.formatException(record.exc_info), "exception")
        if record.stack_info:
            fields["stack"] = _redacted(record.stack_info, "stack")
        return json.dumps(fields)  # plain ASCII: what steers a terminal is written out


_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact_logs(redactor: Redactor) -> None:
    """Let what is logged from now on pass through this, the lines of graphs and libraries too."""
    global _redactor
    _redactor = redactor


def _redacted(text: str, field: str) -> str:
    return _redactor.shown_text("log", text, field)


def _extra(name: str, value: Any) -> Any:
    """What a line reports besides; of another type than JSON's, its text."""
    if value is None or isinstance(value, bool | int | float) or name == "action":
        return value
    if not isinstance(value, dict | list | tuple):
        return _redacted(str(value), name)
    return _redactor.shown("log", json.loads(json.dumps(value, default=str)), name)


def set_up_logging(level: str, log_format: LogFormat = "text") -> None:
    """Send everything of ``level`` and above to stderr.

    Libraries log from WARNING on, or from INFO on if the level is DEBUG: their DEBUG shows the data that they handle.
    A project may set up its own logging; the worker's lines stay as they are.
    """
    debug = level == "DEBUG"
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, handlers=[_to_stderr(log_format)], force=True)
    make_steady(level, _to_stderr(log_format))
    librdkafka = logging.getLogger(LIBRDKAFKA_LOGGER)
    librdkafka.setLevel(logging.DEBUG if debug else logging.CRITICAL)
    librdkafka.addFilter(_hide_secrets)
    logging.captureWarnings(True)


def _to_stderr(log_format: LogFormat) -> logging.StreamHandler[TextIO]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else LineFormatter())
    return handler


def _hide_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True
