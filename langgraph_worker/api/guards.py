"""What stands before the routes: who asks, how much, how often, and for how long. Plain ASGI, so that nothing of a
request is read for a client without a token.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from langgraph_worker.api.access import OPEN_PATHS, Principal
from langgraph_worker.api.problems import ProblemError
from langgraph_worker.api.tokens import TokenFile, UnreadableTokensError
from langgraph_worker.domain.token_bucket import TokenBucket

_FRAMING_BYTES = 65_536  # what a request has beside what becomes a message
_MOST_QUERY = 8_192
_MOST_HEADER = 512  # of an Authorization header; a token of ours has 47 characters
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Guards:
    """Lets a request through to the app, or answers it with a problem.

    :param most_bytes: of a body.
    :param per_second: requests of one token in the long run; at once, as many as in five seconds.
    :param seconds: until a request that is not answered is given up.
    :param now: seconds of a monotonic clock.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: TokenFile,
        most_bytes: int,
        per_second: float,
        seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._most_bytes = most_bytes + _FRAMING_BYTES
        self._per_second = per_second
        self._seconds = seconds
        self._now = now
        self._rates: dict[str, TokenBucket] = {}  # by the token's name, of which the file has few

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if scope["type"] != "http":
                raise ProblemError(HTTPStatus.NOT_FOUND, "there are no web sockets here")
            if scope["path"] in OPEN_PATHS:
                await self._app(scope, _no_body, sending)
                return
            self._admit(scope)
            _header(scope, b"idempotency-key")  # once at most
            self._refuse_length(scope)
            async with asyncio.timeout(self._seconds):
                await self._app(scope, await self._with_body(receive), sending)
        except ProblemError as problem:
            await problem.response()(scope, receive, send)
        except TimeoutError:
            if started:
                raise
            text = f"the fleet has not answered within {self._seconds:g} s. What was asked for may happen nevertheless"
            await ProblemError(HTTPStatus.GATEWAY_TIMEOUT, text).response()(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        principal = self._principal(_header(scope, b"authorization"))
        rate = self._rates.setdefault(principal.name, TokenBucket(self._per_second, self._now))
        if not rate.take():
            seconds = max(1, math.ceil(1 / self._per_second))
            text = f"the token {principal.name!r} may ask {self._per_second:g} times a second. Ask again in {seconds} s"
            raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, text, headers={"Retry-After": str(seconds)})
        scope.setdefault("state", {})["principal"] = principal

    def _principal(self, header: str | None) -> Principal:
        if header is None:
            text = "send a token in the header `Authorization: Bearer TOKEN`"
            raise ProblemError(HTTPStatus.UNAUTHORIZED, text, headers=_CHALLENGE)
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer" or not token or len(header) > _MOST_HEADER:
            text = "the header Authorization must read `Bearer TOKEN`"
            raise ProblemError(HTTPStatus.UNAUTHORIZED, text, headers=_CHALLENGE)
        try:
            found = self._tokens.find(token.strip())
        except UnreadableTokensError:
            text = "the file of tokens cannot be read, so nobody is let in; the API's log says why"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, text) from None
        if found is None:
            text = "the token is not valid: it was never one of this API, or was taken out of its file"
            raise ProblemError(HTTPStatus.UNAUTHORIZED, text, headers=_CHALLENGE)
        return found

    def _refuse_length(self, scope: Scope) -> None:
        if len(scope["query_string"]) > _MOST_QUERY:
            raise ProblemError(HTTPStatus.REQUEST_URI_TOO_LONG, f"the query is longer than {_MOST_QUERY:,} bytes")
        length = _header(scope, b"content-length") or "0"
        if not (length.isascii() and length.isdecimal()) or int(length[:20]) > self._most_bytes:
            raise self._too_large()

    async def _with_body(self, receive: Receive) -> Receive:
        """What hands over the whole body at once, whatever its client has said of its length."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client is gone
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._most_bytes:
                raise self._too_large()
        ready = [{"type": "http.request", "body": bytes(body), "more_body": more}]

        async def with_body() -> Message:
            return ready.pop() if ready else await receive()

        return with_body

    def _too_large(self) -> ProblemError:
        text = f"the body is larger than {self._most_bytes:,} bytes (LANGGRAPH_WORKER_MAX_MESSAGE_BYTES)"
        return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _header(scope: Scope, wanted: bytes) -> str | None:
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    if len(found) > 1:
        text = f"the header {wanted.decode()} is there {len(found)} times: send it once"
        raise ProblemError(HTTPStatus.BAD_REQUEST, text)
    return found[0] if found else None
