"""A schema of what a type accepts: no value that pydantic takes is refused by it, whatever types are nested."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntFlag, StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasPath,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    OnErrorOmit,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

from airflow_provider_langgraph.requests.schema_check import misfit
from langgraph_worker.graphs.accepted import Accepted


class Colour(StrEnum):
    RED = "a"


class Rights(IntFlag):
    READ = 1
    WRITE = 2


class Any1(Enum):
    ONE = 1
    TEXT = "b"


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    one_two: int


class ByPath(BaseModel):
    x: int = Field(validation_alias=AliasPath("y", 0))


class Cat(BaseModel):
    kind: Literal["a"]
    x: int = 0


class Dog(BaseModel):
    kind: Literal["b"]
    y: list[Cat | Dog] = []


@dataclass
class Point:
    x: float
    y: int = 0


class OwnSchema:
    """A type that says its own core schema: a value that is missing has a default."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        inner = core_schema.with_default_schema(core_schema.int_schema(), default=1, on_error="default")
        return core_schema.nullable_schema(inner)


class Holder(BaseModel):
    x: OwnSchema  # type: ignore[valid-type]
    y: Annotated[int, AfterValidator(abs), Field(ge=0)] = 0


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid", str_to_upper=True, str_max_length=2)
    code: str = Field("", max_length=1)


LEAVES: list[Any] = [
    *(int, float, bool, str, bytes, date, datetime, time, timedelta, Decimal, UUID, AnyUrl, Path, Any, None),
    *(Colour, Rights, Any1, Camel, ByPath, Cat, Dog, Point, Holder, Forbidding, complex),
    *(Literal[1, "b"], Literal[True, None], Json[list[int]]),
    Annotated[Cat | Dog, Field(discriminator="kind")],
    Annotated[str, StringConstraints(strip_whitespace=True, max_length=1)],
    Annotated[str, Field(min_length=1, max_length=2)],
    Annotated[int, Field(ge=0, lt=3)],
    Annotated[float, Field(gt=0)],
    Annotated[list[int], BeforeValidator(lambda value: [value])],
    Annotated[int, PlainValidator(lambda value: 0)],
    Annotated[int, AfterValidator(lambda value: value)],
]


def nested(inner: Any) -> Any:
    return (
        inner.map(lambda one: list[one])
        | inner.map(lambda one: list[OnErrorOmit[one]])
        | inner.map(lambda one: dict[str, one])
        | inner.map(lambda one: tuple[one, ...])
        | inner.map(lambda one: Annotated[set[str] | list[one], Field(max_length=2)])
        | inner.map(lambda one: one | None if one is not None else None)
        | st.tuples(inner, inner).map(lambda two: tuple[two[0], two[1]])
        | st.tuples(inner, inner).map(lambda two: Annotated[two[0], "left"] | Annotated[two[1], "right"])
    )


TYPES = st.recursive(st.sampled_from(LEAVES), nested, max_leaves=3)
NAMES = st.sampled_from(["x", "y", "kind", "code", "oneTwo", "one_two"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 4)
    | st.floats(-2, 4)
    | st.sampled_from(["", "1", "0.5", "a", "b", " a ", "yes", "ß", "2026-01-01", "[1]", "1j", "ää"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@cache
def of(annotation: Any) -> tuple[TypeAdapter[Any], dict[str, Any]]:
    accepted = Accepted()
    schema = {"properties": {"v": accepted.by_type(annotation)}, "$defs": accepted.definitions}
    return TypeAdapter(annotation), schema


def takes(annotation: Any, value: Any) -> bool:
    try:
        of(annotation)[0].validate_python(value)
    except (ValidationError, TypeError, ValueError):
        return False
    return True


@settings(max_examples=500, deadline=None)
@given(annotation=TYPES, value=VALUES)
def test_no_value_that_pydantic_takes_is_refused(annotation, value):
    said = misfit(of(annotation)[1], {"v": value}, "input")
    assert said is None or not takes(annotation, value)


@pytest.mark.parametrize("value", [0, 3, False])
def test_flags_are_added_up(value):
    assert takes(Rights, value)
    assert misfit(of(Rights)[1], {"v": value}, "input") is None


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "many"),
        (list[int], {"a": 1}),
        (dict[str, int], [1]),
        (Cat | None, {"kind": "b"}),
        (Dog, {"kind": "b", "y": [{"kind": "c"}]}),
        (Point, {}),
        (Colour, "red"),
        (Annotated[str, Field(min_length=2)], "a"),
        (tuple[int, str], ["x", "a"]),
        (bool, "maybe"),
    ],
)
def test_what_it_refuses_for_sure_is_still_refused(annotation, value):
    assert not takes(annotation, value)
    assert misfit(of(annotation)[1], {"v": value}, "input") is not None
