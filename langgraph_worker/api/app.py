"""The API's app: its routes behind its guards."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse

from langgraph_worker import __version__
from langgraph_worker.api.guards import Guards
from langgraph_worker.api.parts import ApiParts, Asker
from langgraph_worker.api.problems import MEDIA_TYPE, ProblemDocument, add_problem_handlers
from langgraph_worker.api.routes import audit, fleet, run_writes, runs
from langgraph_worker.api.tokens import TokenFile

PREFIX = "/api/v1"
_SECONDS = 60.0  # for one request; librdkafka gives a message up earlier

_PROBLEM = {
    "model": ProblemDocument,
    "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}},
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY.value: {**_PROBLEM, "description": "a value of the request is wrong"},
    "default": {**_PROBLEM, "description": "any other problem"},
}


def make_app(parts: ApiParts, tokens: TokenFile, now: Callable[[], float] = time.monotonic) -> FastAPI:
    """The app. Its parts belong to the event loop that serves it.

    :param now: seconds of a monotonic clock.
    """
    app = FastAPI(
        title="LangGraph fleet",
        summary="Look at the runs of a fleet of LangGraph workers, ask for runs, and steer them.",
        version=__version__,
        openapi_url=None,  # it is a route of the table, like any other
        docs_url=None,  # they load scripts of another origin
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    routes = APIRouter(prefix=PREFIX, responses=_PROBLEMS)
    for one in (runs, run_writes, fleet, audit):
        routes.include_router(one.router)

    @routes.get("/openapi.json", operation_id="openapi", tags=["api"])
    async def openapi(asker: Asker) -> dict[str, Any]:
        """What this document is: the API, described."""
        return _described(app)

    app.include_router(routes)

    @app.get("/healthz", include_in_schema=False, operation_id="healthz")
    async def healthz() -> JSONResponse:
        """Whether the API answers. It asks neither the store nor Kafka: anybody may call it."""
        return JSONResponse({"status": "ok"})

    add_problem_handlers(app)
    settings = parts.settings
    app.add_middleware(
        Guards,
        tokens=tokens,
        most_bytes=settings.max_message_bytes,
        per_second=settings.api_requests_per_second,
        seconds=_SECONDS,
        now=now,
    )
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The app's OpenAPI document. FastAPI says of each model that it comes as ``application/json``, too."""
    document = app.openapi()
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                if MEDIA_TYPE in response.get("content", {}):
                    response["content"].pop("application/json", None)
    return document
