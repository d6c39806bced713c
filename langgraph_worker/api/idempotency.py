"""Requests under a key: the same key is the same request, however often it comes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import Depends, Header, Request
from pydantic import BaseModel

from langgraph_worker.api.parts import Asker, Parts
from langgraph_worker.api.problems import FieldProblem, ProblemError
from langgraph_worker.store.request_keys import RequestKey, RequestKeys

_KEYS = uuid5(NAMESPACE_URL, "airflow-provider-langgraph/api/idempotency-key")

_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=256,
        description="chosen by the client: of all requests of one token with the same key, one has an effect",
    ),
]


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The key of one request, and what is kept under it.

    :param key: of the token's name, the path and what the client chose; None: it chose none.
    """

    keys: RequestKeys
    key: UUID | None

    async def earlier(self, body: BaseModel | None) -> UUID | None:
        """The request that this key has asked for before, if it has.

        :raises ProblemError: 409: it was another request.
        """
        kept = None if self.key is None else await self.keys.find(self.key)
        return None if kept is None else self._same(kept, body)

    async def keep(self, body: BaseModel | None, correlation_id: UUID) -> UUID:
        """The request that the key asks for: this one, unless another one has come before.

        :raises ProblemError: 409: under this key another request has come before.
        """
        if self.key is None:
            return correlation_id
        return self._same(await self.keys.keep(RequestKey(self.key, _digest(body), correlation_id)), body)

    def _same(self, kept: RequestKey, body: BaseModel | None) -> UUID:
        if kept.digest != _digest(body):
            raise ProblemError(
                HTTPStatus.CONFLICT,
                f"this idempotency key has asked for run {kept.correlation_id}, with another request. Take a new key "
                "for a new one",
                [FieldProblem(field="header.idempotency-key", detail="was used for another request")],
            )
        return kept.correlation_id

    @classmethod
    def of(cls, request: Request, asker: Asker, parts: Parts, chosen: _Key = None) -> Self:
        """That of a request."""
        if chosen is None:
            return cls(parts.keys, None)
        return cls(parts.keys, uuid5(_KEYS, "\0".join((asker.name, request.scope["path"], chosen))))


def _digest(body: BaseModel | None) -> str:
    # As text: 1, 1.0 and true are equal in Python.
    given: Any = None if body is None else body.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


Key = Annotated[ClientKey, Depends(ClientKey.of)]
