"""Errors as ``application/problem+json`` (RFC 9457): what is wrong, where, and what is right. Never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from langgraph_worker.broker.port import SendError
from langgraph_worker.domain.redaction import RedactionError
from langgraph_worker.errors import BrokerError, StoreError, WorkerError
from langgraph_worker.operations.resumption import AsksFirstError, NotResumableError
from workflow_events.errors import DecodeError, MessageTooLargeError, WorkflowEventsError
from workflow_events.unknown_fields import probably_meant

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MOST_ERRORS = 10
_MOST_CHARACTERS = 300  # of what a problem repeats


class FieldProblem(BaseModel):
    """One value of a request that is wrong."""

    field: str = Field(description="its place: `query.limit`, `body.budget.tokens`, `path.correlation_id`")
    detail: str = Field(description="why, and what is right")


class ProblemDocument(BaseModel):
    """What is wrong with a request, or with the fleet."""

    type: str = "about:blank"
    title: str = Field(description="the phrase of the status")
    status: int
    detail: str = Field(description="for a person")
    errors: list[FieldProblem] = Field(default=[], description="the values that are wrong")


class ProblemError(WorkerError):
    """Ends a request with a problem.

    :param headers: of the response.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer to the request."""
        document = ProblemDocument(
            title=self.status.phrase, status=self.status, detail=self.detail, errors=list(self.errors)
        )
        content = document.model_dump(exclude_defaults=not self.errors) | {"type": document.type}
        return JSONResponse(content, self.status, self.headers, MEDIA_TYPE)


def wrong_field(field: str, detail: str) -> ProblemError:
    """A value of the request is wrong.

    :param field: its place, as :class:`FieldProblem` names it.
    """
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {detail}", [FieldProblem(field=field, detail=detail)]
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error of the app be a problem."""
    app.add_exception_handler(ProblemError, lambda _, error: error.response())
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(WorkerError, _worker)  # type: ignore[arg-type]
    app.add_exception_handler(WorkflowEventsError, _unsendable)
    app.add_exception_handler(Exception, _unexpected)


def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    details = error.errors()
    of_body = any(detail["loc"][:1] == ("body",) for detail in details)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if of_body and error.body is not None and not (kind == "application/json" or kind.endswith("+json")):
        text = "send a body of JSON, with the header `Content-Type: application/json`"
        return ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text).response()
    if any(detail["type"] == "json_invalid" for detail in details):
        why = details[0].get("ctx", {}).get("error", "")
        return ProblemError(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {why}").response()
    problems = [_field_problem(request, detail, error.body) for detail in details[:_MOST_ERRORS]]
    text = "; ".join(f"{one.field}: {one.detail}" for one in problems)
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, text, problems).response()


def _field_problem(request: Request, detail: Mapping[str, Any], body: Any) -> FieldProblem:
    where, *inside = detail["loc"]
    field = _cut(".".join(map(str, detail["loc"])))
    if detail["type"] == "string_pattern_mismatch":
        return FieldProblem(field=field, detail="must hold no NUL character")
    if detail["type"] != "extra_forbidden":
        return FieldProblem(field=field, detail=_cut(str(detail["msg"]).removeprefix("Value error, ")))
    dependant = request.scope["route"].dependant
    params = dependant.query_params if where == "query" else dependant.body_params
    given = dict(request.query_params) if where == "query" else body
    meant = probably_meant(params[0].field_info.annotation, tuple(inside), given)
    return FieldProblem(field=field, detail=not_known(meant))


def not_known(meant: str | None) -> str:
    """What is said of a field that is not known.

    :param meant: the one that was probably meant.
    """
    return "is not known" + (f". Did you mean {meant!r}?" if meant else "")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _http(request: Request, error: HTTPException) -> JSONResponse:
    status, path = HTTPStatus(error.status_code), request.scope["path"]
    details = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {path}. GET /api/v1/openapi.json lists what there is",
        HTTPStatus.BAD_REQUEST: "the body cannot be read: it is not UTF-8, nests too deep, or has a number too long",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not what {path} takes",
    }
    return ProblemError(status, details.get(status, str(error.detail)), headers=error.headers).response()


def _worker(request: Request, error: WorkerError) -> JSONResponse:
    if isinstance(error, NotResumableError):
        return _not_resumable(request, error)
    if isinstance(error, SendError) and error.too_large:
        return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)).response()
    status = HTTPStatus.INTERNAL_SERVER_ERROR if isinstance(error, RedactionError) else HTTPStatus.SERVICE_UNAVAILABLE
    # What the database or the broker says may name hosts and users: it is for those who read the log.
    logger.error("%s %s: %s", request.method, request.scope["path"], error, extra={"action": "api_error"})
    return ProblemError(status, _away(error), headers={"Retry-After": "5"} if error.retriable else None).response()


def _unsendable(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, DecodeError):
        text = f"nothing was sent, for no worker could read it: {error.reason}"
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, text).response()
    too_large = isinstance(error, MessageTooLargeError)
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.UNPROCESSABLE_ENTITY
    return ProblemError(status, f"nothing was sent: {error}").response()


def _not_resumable(request: Request, error: NotResumableError) -> JSONResponse:
    text = str(error)  # of a run whose content was redacted
    if isinstance(error, AsksFirstError):
        text += f". Answer it: POST {request.scope['path'].rpartition('/')[0]}/answer"
    return ProblemError(HTTPStatus.CONFLICT, text).response()


def _away(error: WorkerError) -> str:
    match error:
        case StoreError():
            return "the run store cannot be used now; the API's log says why"
        case BrokerError():
            return "Kafka has not acknowledged the message; the API's log says why. It may have come nevertheless"
        case RedactionError():
            return "the project's redaction hook failed, so nothing may be shown; the API's log says why"
    return "the API cannot do this now; its log says why"


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # Starlette logs it with its traceback, by raising it once more to the server.
    del error
    text = f"{request.method} {request.scope['path']} failed by an error of the API itself; its log has the traceback"
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, text).response()
