"""Logging to stderr: one line per event, with the action that it reports, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from pydantic import JsonValue

import langgraph_worker
from langgraph_worker.broker.kafka.client_configs import LIBRDKAFKA_LOGGER
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.telemetry.run_labels import present_labels
from langgraph_worker.telemetry.steady_loggers import make_steady
from workflow_events.kafka_errors import without_secrets
from workflow_events.log_words import with_article
from workflow_events.plain_text import indented

logger = logging.getLogger(__name__)

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
        # A copy: an earlier handler, a project's own, has left the traceback there as it was.
        record = copy(record)
        record.exc_text = None
        record.action = _action(record) or record.name
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
            "action": _action(record),
            "message": _redacted(record.getMessage(), "message"),
            **present_labels(),
            **_extras(record),
        }
        if record.exc_info:
            fields["exception"] = _redacted(self.formatException(record.exc_info), "exception")
        if record.stack_info:
            fields["stack"] = _redacted(record.stack_info, "stack")
        return json.dumps(fields)  # plain ASCII: what steers a terminal is written out


_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "action"}


def redact_logs(redactor: Redactor) -> None:
    """Let what is logged from now on pass through this, the lines of graphs and libraries too."""
    global _redactor
    _redactor = redactor


def masked(text: str) -> str:
    """A text that a command prints itself, such as an error, without the secrets that are known by now."""
    return _redactor.masked(text)


def _redacted(text: str, field: str) -> str:
    return _redactor.shown_text("log", text, field)


def _action(record: logging.LogRecord) -> str | None:
    """What a line reports; a graph's own may say anything there."""
    action = getattr(record, "action", None)
    if action is None or record.name.partition(".")[0] == langgraph_worker.__name__:
        return action
    return _redacted(str(action), "action")


def _extras(record: logging.LogRecord) -> dict[str, JsonValue]:
    """What a line reports besides."""
    extras = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
    return {_redactor.masked(name): _redactor.shown("log", _plain(value), name) for name, value in extras.items()}


def _plain(value: Any) -> JsonValue:
    """Of another type than JSON's, its text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    try:
        if isinstance(value, dict | list | tuple):
            return json.loads(json.dumps(value, default=str))  # type: ignore[no-any-return]
        return str(value)
    except Exception as error:  # noqa: BLE001 - it holds itself, is too deep, or of a class that may raise anything
        return f"[not shown: it raised {with_article(type(error).__name__)}]"


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


class _Console(logging.StreamHandler[TextIO]):
    """Writes lines. Of one that cannot be written it writes where it comes from: Python would show what is in it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called while the exception is handled, such as that of ``logger.info("%d", "text")``."""
        text, kind = "a line of this logger cannot be written: it raised %s (%s, line %d)", sys.exception()
        place = (with_article(type(kind).__name__), record.pathname, record.lineno)
        about = logging.LogRecord(record.name, logging.ERROR, record.pathname, record.lineno, text, place, None)
        with suppress(Exception):  # the stream itself fails
            self.stream.write(self.format(about) + self.terminator)
            self.flush()


def log_uncaught() -> None:
    """Let exceptions that nothing catches, in threads of graphs too, be lines of the log: Python would print them."""

    def log(error: BaseException | None, where: str) -> None:
        failed = error and (type(error), error, error.__traceback__)
        logger.error("an exception was not caught %s", where, exc_info=failed, extra={"action": "uncaught"})

    sys.excepthook = lambda kind, error, trace: log(error, "by the program")
    sys.unraisablehook = lambda found: log(found.exc_value, "when an object ended")
    threading.excepthook = lambda found: log(found.exc_value, f"in thread {found.thread and found.thread.name}")


def _to_stderr(log_format: LogFormat) -> logging.StreamHandler[TextIO]:
    handler = _Console(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else LineFormatter())
    return handler


def _hide_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True
