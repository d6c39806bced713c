"""Who may do what: the one table of the API's routes, and what a client's token allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from langgraph_worker.domain.run_views import RunScope


class Role(StrEnum):
    """What a client may do. Each one may do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether this one may do what the other one may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


ROLES: Mapping[str, Role] = {
    "openapi": Role.VIEWER,
    "list_runs": Role.VIEWER,
    "get_run": Role.VIEWER,
    "get_run_result": Role.VIEWER,
    "list_run_steps": Role.VIEWER,
    "list_run_errors": Role.VIEWER,
    "list_run_attempts": Role.VIEWER,
    "list_graphs": Role.VIEWER,
    "list_workers": Role.VIEWER,
    "list_pauses": Role.VIEWER,
    "list_audit": Role.ADMIN,
    "create_run": Role.OPERATOR,
    "cancel_run": Role.OPERATOR,
    "retry_run": Role.OPERATOR,
    "answer_run": Role.OPERATOR,
}
"""The lowest role for each operation, by its ``operationId``. An operation that is missing here is served to nobody."""

OPEN_PATHS = frozenset({"/healthz"})
"""Answered without a token. Nothing else is."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    :param name: of the token.
    :param scope: the runs that it may see and change.
    """

    name: str
    role: Role
    scope: RunScope
