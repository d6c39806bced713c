"""Loggers of the worker that go on whatever a graph's project does with Python's logging, at import or while it runs.

``dictConfig`` disables every logger that exists, ``basicConfig(force=True)`` removes the handlers, ``logging.disable``
holds for the whole process. A project may set up its own logging in any of these ways.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import langgraph_worker


class SteadyLogger(logging.Logger):
    """Writes to the worker's own handler, and to what a project adds to the root logger, such as a log shipper.

    What is set on the logger itself (level, filters, handlers, ``disabled``) changes nothing.

    :cvar worker_level: from which level on records are written.
    :cvar worker_handler: is on no logger, so that nobody finds and changes it.
    """

    worker_level = logging.WARNING
    worker_handler: logging.Handler = logging.NullHandler()

    @property
    def disabled(self) -> bool:
        """Never."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Ignored."""

    def isEnabledFor(self, level: int) -> bool:
        """By the worker's level alone."""
        return level >= self.worker_level

    def getEffectiveLevel(self) -> int:
        """The worker's level."""
        return self.worker_level

    def handle(self, record: logging.LogRecord) -> None:
        """Write a record, once to the console."""
        self.worker_handler.handle(record)
        for handler in logging.getLogger().handlers:
            if record.levelno >= handler.level and not _writes_to_console(handler):
                handler.handle(record)


def make_steady(level: str, handler: logging.StreamHandler[TextIO]) -> None:
    """Make the loggers of every module of the worker steady, also of those that are not imported yet.

    :param level: from which level on they write.
    :param handler: for them alone.
    """
    SteadyLogger.worker_level = logging.getLevelNamesMapping()[level]
    SteadyLogger.worker_handler = handler
    for name in _module_names():
        logging.getLogger(name).__class__ = SteadyLogger


def _module_names() -> Iterator[str]:
    folder = Path(langgraph_worker.__file__).parent
    for file in folder.rglob("*.py"):
        parts = file.relative_to(folder).with_suffix("").parts
        yield ".".join([langgraph_worker.__name__, *(part for part in parts if part != "__init__")])


def _writes_to_console(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    return stream is not None and stream in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
