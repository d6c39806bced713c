"""What an agent returns can be passed to the next one, and an author's values get the form that a result gives them."""

from __future__ import annotations

import json
from collections import UserList
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.json_input import as_json
from langgraph_worker.domain.json_values import to_json
from workflow_events.models import WorkflowEventPayload


class Model(BaseModel):
    first: Any
    rest: list[Any] = []


class Narrow(BaseModel):
    value: BaseModel


@dataclass
class Data:
    first: Any


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
plain = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
others = (
    st.dates()
    | st.datetimes(timezones=st.just(UTC))
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False, allow_infinity=False)
)
leaves = plain | others
values = st.recursive(
    leaves | st.frozensets(leaves, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(texts, inner, max_size=3)
        | st.builds(Model, first=inner, rest=st.lists(inner, max_size=2))
        | st.builds(Data, inner)
    ),
    max_leaves=6,
)


def unordered(value: Any) -> Any:
    """JSON in which every list is sorted: a set has no order."""
    if isinstance(value, dict):
        return {name: unordered(part) for name, part in value.items()}
    if isinstance(value, list):
        return sorted(map(unordered, value), key=json.dumps)
    return value


@given(values)
def test_a_value_has_the_form_as_an_input_that_it_has_in_a_result(value):
    assert unordered(as_json(value, "input")) == unordered(to_json(value))


@given(values)
def test_a_result_is_an_input_as_it_is(value):
    result = to_json(value)
    assert as_json(result, "input") == result
    if result is not None:
        assert WorkflowEventPayload(data=as_json(value, "input")).data == as_json(value, "input")


@given(
    st.sets(texts | st.integers(), max_size=8)
    .map(list)
    .flatmap(lambda parts: st.tuples(st.just(parts), st.permutations(parts)))
)
def test_a_set_is_the_same_input_in_every_process(orders):
    one, other = orders
    assert as_json(set(one), "input") == as_json(dict.fromkeys(other).keys(), "input")


def test_a_mapped_output_is_a_list_wherever_it_stands():
    """Airflow's own is a sequence, and no list, that asks Airflow for each part."""
    assert as_json({"names": UserList(["a", ("b",)])}, "input") == {"names": ["a", ["b"]]}


def test_a_field_declared_as_a_base_class_keeps_what_its_value_has():
    assert as_json(Narrow(value=Model(first=1)), "input") == {"value": {"first": 1, "rest": []}}


def test_what_holds_itself_is_refused_by_name():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(SettingsError, match="input: it holds itself"):
        as_json(endless, "input")
