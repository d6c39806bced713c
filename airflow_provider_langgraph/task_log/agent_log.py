"""The log of a task with several agents: each line says which agent it is about."""

from __future__ import annotations

from typing import Any


class AgentLog:
    """A task's logger for the lines about one of its agents.

    :param log: the task's.
    :param agent: the name of the agent or of its call, without ``%``.
    """

    __slots__ = ("_before", "_log")

    def __init__(self, log: Any, agent: str) -> None:
        self._log = log
        self._before = f"[{agent}] "

    def info(self, text: str, *values: Any) -> None:
        """Write a line."""
        self._log.info(self._before + text, *values)

    def warning(self, text: str, *values: Any) -> None:
        """Write a warning."""
        self._log.warning(self._before + text, *values)

    def error(self, text: str, *values: Any) -> None:
        """Write an error."""
        self._log.error(self._before + text, *values)

    def debug(self, text: str, *values: Any) -> None:
        """Write a line for developers."""
        self._log.debug(self._before + text, *values)
