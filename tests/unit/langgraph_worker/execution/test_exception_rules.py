from __future__ import annotations

from types import SimpleNamespace

import httpx
import ollama
import pytest
from langgraph.errors import GraphRecursionError, InvalidUpdateError
from pydantic import BaseModel, ValidationError

from langgraph_worker.errors import ForeignThreadError, NoServerError
from langgraph_worker.execution import exception_rules


class HttpError(Exception):
    def __init__(self, status):
        super().__init__(str(status))
        self.status_code = status


def http_status_error(status):
    request = httpx.Request("GET", "http://model")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "retriable"),
    [
        (ConnectionError(), True),
        (TimeoutError(), True),
        (httpx.ConnectError("no"), True),
        (RuntimeError("unknown"), True),
        (KeyError("what a model left out"), True),
        (HttpError(429), True),
        (HttpError(503), True),
        (HttpError(400), False),
        (http_status_error(401), False),
        (http_status_error(408), True),
        (ollama.ResponseError("model not found", 404), False),
        (ollama.ResponseError("no status"), True),
        (TypeError(), False),
        (UnboundLocalError(), False),
        (ModuleNotFoundError(), False),
        (IndentationError(), False),
        (NotImplementedError(), False),
        (InvalidUpdateError(), False),
        (GraphRecursionError(), False),
        (ForeignThreadError(), False),
        (NoServerError(), False),
    ],
)
def test_whether_a_retry_can_help(error, retriable):
    assert exception_rules.can_retry_help(error) is retriable


def test_a_status_that_is_no_http_status_decides_nothing():
    error = RuntimeError()
    error.response = SimpleNamespace(status_code="404")
    assert exception_rules.can_retry_help(error)


def test_rejected_input_is_told_by_type():
    class Order(BaseModel):
        quantity: int

    with pytest.raises(ValidationError) as caught:
        Order.model_validate({})
    assert exception_rules.rejects_input(caught.value)
    assert not exception_rules.rejects_input(ValueError())
