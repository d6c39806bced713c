from __future__ import annotations

import math
import threading
import tracemalloc
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel, ValidationError

from langgraph_worker.domain.json_values import NotSerializableError, capped, describe, to_json
from workflow_events.log_words import with_article


class Report(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    title: str
    extra: Any = None


@dataclass
class Quote:
    price: float
    source: Any = None


def test_what_agents_keep_in_their_state_becomes_json():
    state = {
        "messages": [AIMessage("hello")],
        "report": Report(title="t"),
        "quote": Quote(1.5),
        "days": {date(2026, 1, 2)},
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "raw": b"\xff",
        3: (1, 2),
    }
    found = to_json(state)
    assert found["messages"][0]["content"] == "hello"
    assert found["report"] == {"title": "t", "extra": None}
    assert found["quote"] == {"price": 1.5, "source": None}
    assert found["days"] == ["2026-01-02"]
    assert found["at"] == "2026-01-02T00:00:00Z"
    assert found["raw"] == "_w=="
    assert found["3"] == [1, 2]


def test_a_number_that_json_lacks_becomes_null():
    assert to_json({"a": math.nan, "b": [math.inf, 1.0]}) == {"a": None, "b": [None, 1.0]}


@pytest.mark.parametrize(
    ("state", "path", "kind"),
    [
        ({"tools": [1, threading.Lock()]}, "tools[1]", "_thread.lock"),
        ({"a": {"b": ValueError("x")}}, "a.b", "ValueError"),
        ({"report": Report(title="t", extra=len)}, "report.extra", "builtin_function_or_method"),
        ([Quote(1.0, object())], "[0].source", "object"),
    ],
)
def test_what_has_no_json_form_is_named_with_its_place(state, path, kind):
    with pytest.raises(NotSerializableError) as caught:
        to_json(state)
    assert (caught.value.path, caught.value.kind) == (path, kind)
    assert str(caught.value) == f"{path} is {with_article(kind)}"


def test_the_length_of_a_name_is_no_matter():
    """It may be an input's: as many copies of it as its list has values would fill the worker's memory."""
    tracemalloc.start()
    try:
        with pytest.raises(NotSerializableError, match=r"k\[2000\] is an object"):
            to_json({"k" * 100_000: [*range(2_000), object()]})
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_circle_is_named_as_such():
    state: dict[str, Any] = {"a": []}
    state["a"].append(state["a"])
    with pytest.raises(NotSerializableError, match=r"Circular reference"):
        to_json(state)


def test_nothing_is_too_odd_or_too_big_for_the_record():
    assert capped({"a": 1}, 100) == {"a": 1}
    cut = capped({"a": "é" * 500}, 100)
    assert cut["cut"] is True
    assert cut["bytes"] == 1008
    assert cut["begins"].startswith('{"a":"é')
    assert "thread" in str(capped({"a": threading.Lock()}, 1000))
    assert capped({"a": "\ud800"}, 100) == {"not_json": "dict"}


def test_a_validation_error_names_fields_not_values():
    with pytest.raises(ValidationError) as caught:
        Report.model_validate({"title": ["geheim"]})
    assert describe(caught.value) == "Report: title: Input should be a valid string"
    assert describe(KeyError()) == "KeyError"


def test_an_exception_that_quotes_all_of_its_input_is_cut():
    assert len(describe(ValueError("x" * 1_000_000))) < 70_000

    class Order(BaseModel):
        sizes: list[int]

    with pytest.raises(ValidationError) as caught:
        Order(sizes=["many"] * 5_000)
    assert describe(caught.value).endswith("and 4,900 more")
