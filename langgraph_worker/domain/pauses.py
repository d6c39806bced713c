"""Pauses: what they hold back, which of two messages counts, and what a person reads of one."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from workflow_events.control import PauseScope
from workflow_events.log_words import in_utc
from workflow_events.plain_text import one_line

_LONGEST_REASON_CHARACTERS = 200  # where a text beside it says more


@dataclass(frozen=True, slots=True)
class PauseChange:
    """The wish to pause a scope, or to end its pause.

    :param name: the graph's, or the ``workflow_id``; empty for the fleet.
    :param is_on: False: the pause ends.
    :param at_once: what runs is stopped now, and not before its next superstep.
    :param reason: for the person who reads it; may be empty.
    :param changed_at: when its sender wrote it.
    """

    scope: PauseScope
    name: str
    is_on: bool
    changed_at: datetime
    at_once: bool = False
    reason: str = ""
    requested_by: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What is paused: scope and name. A store keeps one change of each."""
        return self.scope.value, self.name

    def is_newer_than(self, other: PauseChange | None) -> bool:
        """Whether it counts, and not the other one of the same scope, in whatever order they are read.

        Of two at the same instant the pause counts: who wants nothing to start must not lose to a clock.
        """
        return other is None or self._order > other._order

    @property
    def _order(self) -> tuple[datetime, bool, bool]:
        return self.changed_at, self.is_on, self.at_once

    def holds(self, graph: str, workflow_id: str) -> bool:
        """Whether it is a pause, and such a run waits for its end."""
        match self.scope:
            case PauseScope.FLEET:
                return self.is_on
            case PauseScope.GRAPH:
                return self.is_on and self.name == graph
            case PauseScope.WORKFLOW:
                return self.is_on and self.name == workflow_id

    @property
    def scope_in_words(self) -> str:
        """``the fleet``, ``graph 'trade'``, ``workflow 'daily'``."""
        return "the fleet" if self.scope is PauseScope.FLEET else f"{self.scope.value} {self.name!r}"

    @property
    def unpause_command(self) -> str:
        """What a person types to end it, and no other pause."""
        scope = "" if self.scope is PauseScope.FLEET else f" --{self.scope.value} {shlex.quote(one_line(self.name))}"
        return f"langgraph-worker unpause{scope}"

    @property
    def in_words(self) -> str:
        """``the fleet is paused since 2026-11-30 01:02:03 UTC by ann: markets are closed``; one line."""
        by = f" by {one_line(self.requested_by)}" if self.requested_by else ""
        reason = one_line(self.reason[:_LONGEST_REASON_CHARACTERS])
        reason += "…" if len(self.reason) > _LONGEST_REASON_CHARACTERS else ""
        return f"{self.scope_in_words} is paused since {in_utc(self.changed_at)}{by}{f': {reason}' if reason else ''}"


def holding(changes: Iterable[PauseChange], graph: str, workflow_id: str) -> list[PauseChange]:
    """The pauses that hold such a run back, the widest first."""
    wide = list(PauseScope)
    return sorted(
        (one for one in changes if one.holds(graph, workflow_id)), key=lambda one: (wide.index(one.scope), one.name)
    )


def pause_before(
    changes: Iterable[PauseChange], graph: str, workflow_id: str, deadline: datetime
) -> PauseChange | None:
    """The widest pause that holds such a run back, and began before the deadline: one of those that it waited for."""
    return next((one for one in holding(changes, graph, workflow_id) if one.changed_at < deadline), None)


def newest(changes: Collection[PauseChange]) -> dict[tuple[str, str], PauseChange]:
    """Of several changes of one scope and name the one that counts, by :attr:`PauseChange.key`."""
    found: dict[tuple[str, str], PauseChange] = {}
    for change in changes:
        if change.is_newer_than(found.get(change.key)):
            found[change.key] = change
    return found
