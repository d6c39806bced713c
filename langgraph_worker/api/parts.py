"""What the routes work with, and how they get it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from langgraph_worker.api.access import ROLES, Principal, Role
from langgraph_worker.api.problems import ProblemError
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.domain.run_views import RunDetail
from langgraph_worker.operations.redacted_detail import redacted_detail
from langgraph_worker.operations.sending import MessageSender
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.views import RunViews

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The fleet, as the API reaches it.

    :param store: read only.
    :param redactor: what changes a run's content before it is shown.
    :param sender: the only way in which the API changes anything.
    """

    settings: WorkerSettings
    store: RunStore
    views: RunViews
    redactor: Redactor
    sender: MessageSender

    async def run(self, correlation_id: UUID, principal: Principal) -> RunDetail:
        """A run that a client may see, as the store has it.

        :raises ProblemError: 404: there is none, or it may not see it, which it does not learn.
        """
        detail = await self.views.detail(correlation_id, most_steps=0)
        if detail is None or not principal.scope.includes(detail.run.graph, detail.deployment):
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                f"there is no run {correlation_id} that this token may see: it was pruned or forgotten, its request "
                "was not taken in yet, or it belongs to another fleet",
            )
        return detail

    async def shown(self, correlation_id: UUID, principal: Principal) -> RunDetail:
        """The same, with its content as it may leave the store."""
        detail = await self.run(correlation_id, principal)
        return await asyncio.to_thread(redacted_detail, detail, self.redactor)


_bearer = HTTPBearer(auto_error=False, description="a token of the API's token file")  # for the description alone


def _principal(request: Request, _: Annotated[object, Security(_bearer)]) -> Principal:
    principal: Principal = request.state.principal
    operation = request.scope["route"].operation_id
    needed = ROLES.get(operation)
    if needed is None or not principal.role.includes(needed):
        who = f"the role {needed.value}" if needed is not None else "a role that nobody has"
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            f"{operation} needs {who}, and the token {principal.name!r} is a {principal.role.value}. Ask whoever runs "
            "the API for another token",
        )
    if needed is not Role.VIEWER:
        client = request.client.host if request.client is not None else "unknown"
        logger.info(
            "%s (%s) from %s: %s %s",
            principal.name,
            principal.role.value,
            client,
            request.method,
            request.url.path,
            extra={"action": "api_write"},
        )
    return principal


def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


Asker = Annotated[Principal, Depends(_principal)]
"""Who asks; they may, or the request ends here. Every route has one."""
Parts = Annotated[ApiParts, Depends(_parts)]
