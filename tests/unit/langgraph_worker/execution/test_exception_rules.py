from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import httpx
import ollama
import pytest
from langchain_core.exceptions import OutputParserException
from langgraph.errors import GraphInterrupt, GraphRecursionError, InvalidUpdateError
from langgraph.types import RetryPolicy
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
        (ValueError("what a model said"), True),
        (json.JSONDecodeError("what a model said", "", 0), True),
        (OutputParserException("what a model said"), True),
        (MemoryError(), True),
        (KeyError("text"), False),
        (IndexError(), False),
        (AttributeError(), False),
        (AssertionError(), False),
        (ZeroDivisionError(), False),
        (RecursionError(), False),
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


def raised_from(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "retriable"),
    [
        (ExceptionGroup("tools", [ConnectionError(), TimeoutError()]), True),
        (ExceptionGroup("tools", [ConnectionError(), TypeError()]), False),
        (ExceptionGroup("tools", [ConnectionError(), ExceptionGroup("inner", [HttpError(401)])]), False),
        (ExceptionGroup("tools", [GraphInterrupt()]), False),
        (ExceptionGroup("tools", [HttpError(429), ExceptionGroup("inner", [HttpError(503)])]), True),
        (BaseExceptionGroup("tools", [asyncio.CancelledError(), ConnectionError()]), True),
        (BaseExceptionGroup("tools", [asyncio.CancelledError(), SystemExit(1)]), False),
        (ExceptionGroup("tools", [raised_from(RuntimeError(), HttpError(403))]), False),
        (raised_from(RuntimeError(), HttpError(401)), False),
        (raised_from(RuntimeError(), HttpError(503)), True),
        (raised_from(RuntimeError(), ExceptionGroup("tools", [HttpError(503), HttpError(404)])), False),
        (raised_from(RuntimeError("its author says it passes"), KeyError("text")), True),
        (raised_from(TypeError(), HttpError(503)), False),
        (raised_from(HttpError(503), HttpError(401)), True),
    ],
)
def test_groups_and_causes(error, retriable):
    assert exception_rules.can_retry_help(error) is retriable


def test_a_ring_of_causes_ends():
    first, second = RuntimeError(), RuntimeError()
    raised_from(first, raised_from(second, first))
    assert exception_rules.can_retry_help(first)


def test_langgraph_itself_repeats_a_node_after_none_of_pythons_program_errors():
    """If this fails, LangGraph judges otherwise than it did: compare the two lists again."""
    for kind in exception_rules.FINAL_EXCEPTIONS:
        if kind.__module__ == "builtins" and issubclass(kind, Exception) and kind is not AssertionError:
            assert RetryPolicy().retry_on(kind()) is (kind is AttributeError), kind


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
