"""What the routes work with, and how they get it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from langgraph_worker.api.access import ROLES, Principal, Role
from langgraph_worker.api.problems import ProblemError
from langgraph_worker.domain.audit import AuditEntry, Outcome
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.domain.run_views import RunDetail
from langgraph_worker.errors import StoreError
from langgraph_worker.operations.redacted_detail import redacted_detail
from langgraph_worker.operations.sending import MessageSender
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.audit import AuditTrail
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.request_keys import RequestKeys
from langgraph_worker.store.views import RunViews
from workflow_events.control import WorkflowCancelledEvent
from workflow_events.models import WorkflowEvent

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The fleet, as the API reaches it.

    :param store: read only.
    :param redactor: what changes a run's content before it is shown.
    :param audit: who asked for what.
    :param keys: the idempotency keys.
    :param sender: the only way in which the API changes anything.
    """

    settings: WorkerSettings
    store: RunStore
    views: RunViews
    redactor: Redactor
    audit: AuditTrail
    keys: RequestKeys
    sender: MessageSender

    async def run(self, correlation_id: UUID, principal: Principal) -> RunDetail:
        """A run that a client may see, as the store has it.

        :raises ProblemError: 404: there is none, or it may not see it, which it does not learn.
        """
        detail = await self.views.detail(correlation_id, 0, principal.scope)
        if detail is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                f"there is no run {correlation_id} that this token may see: it was pruned or forgotten, its request "
                "was not taken in yet, or it belongs to another fleet",
            )
        return detail

    async def shown(self, detail: RunDetail) -> RunDetail:
        """A run with its content as it may leave the store."""
        return await asyncio.to_thread(redacted_detail, detail, self.redactor)


_bearer = HTTPBearer(auto_error=False, description="a token of the API's token file")  # for the description alone


@dataclass(frozen=True, slots=True)
class Writes:
    """What one request sends, in its client's name. That it asks is stored before it is sent."""

    parts: ApiParts
    entry: Callable[[UUID], AuditEntry]

    async def request(self, event: WorkflowEvent) -> None:
        """Send a request. For errors see :class:`~langgraph_worker.operations.sending.MessageSender`."""
        await self._audited(event.event_id, self.parts.sender.request(event))

    async def cancel(self, message: WorkflowCancelledEvent) -> None:
        """Send a cancel. For errors see :class:`~langgraph_worker.operations.sending.MessageSender`."""
        await self._audited(message.correlation_id, self.parts.sender.control(message))

    async def _audited(self, target: UUID, sending: Coroutine[Any, Any, None]) -> None:
        with closing(sending):
            row = await self.parts.audit.begin(self.entry(target))
            outcome = Outcome.NOT_ACKNOWLEDGED
            try:
                await sending
                outcome = Outcome.SENT
            finally:
                await self._settle(row, outcome)

    async def _settle(self, row: int, outcome: Outcome) -> None:
        try:
            await self.parts.audit.settle(row, outcome)
        except StoreError as error:  # the row is there, and says that the outcome is not known
            logger.warning("audit row %d has no outcome (%s): %s", row, outcome.value, error, extra={"action": "audit"})


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
        client = _address(request)
        logger.info(
            "%s (%s) from %s: %s %s",
            principal.name,
            principal.role.value,
            client,
            request.method,
            request.scope["path"],
            extra={"action": "api_write"},
        )
    return principal


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


Asker = Annotated[Principal, Depends(_principal)]
"""Who asks; they may, or the request ends here. Every route has one."""
Parts = Annotated[ApiParts, Depends(_parts)]


def _writes(request: Request, asker: Asker, parts: Parts) -> Writes:
    action = request.scope["route"].operation_id
    return Writes(
        parts, lambda target: AuditEntry(actor=asker.name, client=_address(request), action=action, target=target)
    )


Sending = Annotated[Writes, Depends(_writes)]
"""How a route sends anything."""
