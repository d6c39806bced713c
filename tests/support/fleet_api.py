"""The fleet's API in the test's own process, on a store in memory; what it sends is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from langgraph_worker.api.app import make_app
from langgraph_worker.api.parts import ApiParts
from langgraph_worker.api.tokens import TokenFile, digest_of
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.views import RunViews
from langgraph_worker.testing.memory_store.audit_trail import MemoryAuditTrail
from langgraph_worker.testing.memory_store.request_keys import MemoryRequestKeys
from langgraph_worker.testing.memory_store.run_views import MemoryRunViews
from langgraph_worker.testing.memory_store.store import MemoryRunStore
from tests.support.run_store import Clock
from workflow_events.codec import ControlMessage, encode
from workflow_events.models import WorkflowEvent


@dataclass
class Sent:
    """What the API has sent; or why it could not."""

    requests: list[WorkflowEvent] = field(default_factory=list)
    controls: list[ControlMessage] = field(default_factory=list)
    error: Exception | None = None

    async def request(self, event: WorkflowEvent) -> None:
        if self.error is not None:
            raise self.error
        encode(event, max_bytes=WorkerSettings().max_message_bytes)
        self.requests.append(event)

    async def control(self, message: ControlMessage) -> None:
        if self.error is not None:
            raise self.error
        self.controls.append(message)


@dataclass
class FleetApi:
    """The API, its store and its clients.

    :param tokens: the file; a client's token is its name.
    """

    tokens: Path
    store: MemoryRunStore
    settings: WorkerSettings = field(default_factory=WorkerSettings)
    redactor: Redactor = field(default_factory=Redactor)
    sent: Sent = field(default_factory=Sent)
    audit: MemoryAuditTrail = field(default_factory=lambda: MemoryAuditTrail(Clock()))
    keys: MemoryRequestKeys = field(default_factory=lambda: MemoryRequestKeys(Clock()))
    now: float = 0.0
    views: RunViews | None = None
    entries: list[str] = field(default_factory=list)

    def let_in(self, name: str, role: str, **limits: Any) -> str:
        """Give a client a token."""
        lines = ["[[tokens]]", f'name = "{name}"', f'sha256 = "{digest_of(name)}"', f'role = "{role}"']
        self.entries.append("\n".join([*lines, *(f"{limit} = {value}" for limit, value in limits.items())]))
        self.tokens.write_text("\n".join(self.entries))
        return name

    def app(self) -> FastAPI:
        views = self.views or MemoryRunViews(self.store)
        sender: Any = self.sent
        parts = ApiParts(self.settings, self.store, views, self.redactor, self.audit, self.keys, sender)
        return make_app(parts, TokenFile(self.tokens, self._clock), self._clock)

    def client(self, token: str | None, app: FastAPI | None = None) -> httpx.AsyncClient:
        """A client of the API, or of this app."""
        transport = httpx.ASGITransport(app or self.app(), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return httpx.AsyncClient(transport=transport, base_url="http://api/api/v1", headers=headers)

    @property
    def _clock(self) -> Callable[[], float]:
        return lambda: self.now


def problem(answer: httpx.Response, status: int) -> str:
    """The detail of a problem of this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    detail: str = body["detail"]
    return detail
