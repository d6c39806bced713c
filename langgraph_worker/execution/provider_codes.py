"""The codes by which providers of models name their errors, and the class of each.

An answer that is a stream has begun with the status 200 when its server fails: then the code is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping

from langgraph_worker.domain.retry_policy import ErrorClass
from langgraph_worker.execution.exception_facts import error_codes

_CODES = {
    # OpenAI
    "context_length_exceeded": ErrorClass.CONTEXT_LENGTH,
    "insufficient_quota": ErrorClass.FINAL,
    # Anthropic
    "contract_spend_limit_reached": ErrorClass.FINAL,
    "enforced_spend_limit_reached": ErrorClass.FINAL,
    # AWS: botocore gives each error within a stream the status 400
    "throttlingexception": ErrorClass.RATE_LIMIT,
    "modeltimeoutexception": ErrorClass.TIMEOUT,
    "internalserverexception": ErrorClass.SERVER_ERROR,
    "modelstreamerrorexception": ErrorClass.SERVER_ERROR,
    "serviceunavailableexception": ErrorClass.SERVER_ERROR,
}
"""Codes that say more than the status beside them. A 429 of a quota is not helped by any waiting."""

_STREAM_CODES = {
    # OpenAI
    "rate_limit_exceeded": ErrorClass.RATE_LIMIT,
    "server_error": ErrorClass.SERVER_ERROR,
    "server_is_overloaded": ErrorClass.SERVER_ERROR,
    "slow_down": ErrorClass.SERVER_ERROR,
    # Anthropic
    "rate_limit_error": ErrorClass.RATE_LIMIT,
    "api_error": ErrorClass.SERVER_ERROR,
    "overloaded_error": ErrorClass.SERVER_ERROR,
    "timeout_error": ErrorClass.TIMEOUT,
    # Both: what a status from 400 to 499 says elsewhere
    "invalid_request_error": ErrorClass.FINAL,
    "authentication_error": ErrorClass.FINAL,
    "billing_error": ErrorClass.FINAL,
    "permission_error": ErrorClass.FINAL,
    "not_found_error": ErrorClass.FINAL,
    "request_too_large": ErrorClass.FINAL,
}
"""Codes that count where there is no status of an error."""


def class_by_code(error: BaseException) -> ErrorClass | None:
    """The class by a code that decides whatever the status is; None if there is none."""
    return _first(error, _CODES)


def class_by_stream_code(error: BaseException) -> ErrorClass | None:
    """The class by the code of an error that came without a status; None if there is none."""
    return _first(error, _STREAM_CODES)


def _first(error: BaseException, classes: Mapping[str, ErrorClass]) -> ErrorClass | None:
    return next((classes[code] for code in error_codes(error) if code in classes), None)
