"""The check never refuses what runs: graphs are run, and what succeeds is compared with what is announced of them."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, Union

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.graph import START, StateGraph
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from airflow_provider_langgraph.requests.schema_check import misfit
from langgraph_worker.graphs.announced import announcement_of
from langgraph_worker.graphs.graph_spec import graph_spec
from langgraph_worker.graphs.loader import Graph


def split(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def or_zero(value: Any, handler: Any) -> Any:
    return handler(value) if isinstance(value, int) else 0


class Side(Enum):
    BUY = "buy"

    @classmethod
    def _missing_(cls, value: object) -> Side:
        return cls.BUY


class Level(IntEnum):
    LOW = 1


class A(BaseModel):
    x: int = 0


class B(BaseModel):
    x: int = 1
    y: str = ""


class ByAlias(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    day: str = Field(alias="Day")


class ByChoice(BaseModel):
    day: str = Field(validation_alias=AliasChoices("day", "DAY"))


class Filled(BaseModel):
    day: str
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def fill(cls, data: Any) -> Any:
        return {"day": "2026-01-01", **data} if isinstance(data, dict) else {"day": data}


class Wrapped(BaseModel):
    day: str

    @model_validator(mode="wrap")
    @classmethod
    def fill(cls, data: Any, handler: Any) -> Any:
        return handler(data if isinstance(data, dict) and "day" in data else {"day": "today"})


class Made(BaseModel):
    day: str

    def __init__(self, **data: Any) -> None:
        super().__init__(**{"day": "today", **data})


class Stripped(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    code: str = Field(max_length=3)
    inner: StrippedInside | None = None


class StrippedInside(TypedDict):
    code: Annotated[str, Field(max_length=3)]


class Numbers(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    code: str = ""


class Point(NamedTuple):
    x: int


class Parsed(BaseModel):
    tags: list[str] = []

    @field_validator("tags", mode="before")
    @classmethod
    def parse(cls, value: Any) -> Any:
        return split(value)


class Names(RootModel[dict[str, int]]):
    pass


class Tree(BaseModel):
    left: Tree | None = None
    right: Tree | None = None
    value: int = 0


def discriminator(value: Any) -> str:
    return "a"


@dataclass
class Inner:
    size: int
    made: int = field(init=False, default=0)


class Everything(BaseModel):
    """A field for each case; all have defaults, so that one can be given alone."""

    model_config = ConfigDict(validate_default=False)
    u: Annotated[Union[Annotated[A, Tag("a")], Annotated[B, Tag("b")]], Discriminator(discriminator)] = A()  # noqa: UP007
    alias: ByAlias | None = None
    choice: ByChoice | None = None
    filled: Filled | None = None
    wrapped: Wrapped | None = None
    made: Made | None = None
    stripped: Stripped | None = None
    numbers: Numbers | None = None
    tags: Annotated[list[str], BeforeValidator(split)] = []
    parsed: Parsed | None = None
    zero: Annotated[int, WrapValidator(or_zero)] = 0
    odd: Annotated[int, WithJsonSchema({"type": "string"})] = 0
    words: int = Field(0, json_schema_extra={"type": "string"})
    side: Side = Side.BUY
    level: Level = Level.LOW
    exact: Literal[1, "a", None] = 1
    whole: int = 0
    share: float = Field(0.0, ge=0, lt=1)
    flag: bool = False
    text: str = Field("", min_length=1, max_length=3)
    raw: bytes = Field(b"abcd", min_length=4)
    money: Decimal = Decimal(0)
    day: date | None = None
    lasts: timedelta | None = None
    few: set[int] = Field(set(), max_length=2)
    pair: tuple[int, str] = (0, "")
    ints: tuple[int, ...] = ()
    point: Point = Point(0)
    names: Names | None = None
    inner: Inner | None = None
    tree: Tree | None = None
    counts: dict[str, int] = {}
    lines: Annotated[list[str], operator.add] = []


class Typed(TypedDict):
    n: Annotated[int, operator.add]
    plain: int
    lines: Annotated[list[str], operator.add]


@dataclass
class Held:
    question: str
    count: int = 0


class Summed(BaseModel):
    question: str = ""
    lines: Annotated[list[str], operator.add]  # begins empty


def graph_of(state: Any) -> Any:
    built = StateGraph(state)
    built.add_node("node", lambda state: {})
    built.add_edge(START, "node")
    return built.compile()


GRAPHS = {
    state: graph_of(state)
    for state in (Everything, Typed, Held, Summed, Filled, Wrapped, Made, Stripped, Numbers, ByChoice, Tree)
}
ANNOUNCED: dict[Any, Any] = {}


def announced(state: Any, tmp_path_factory: Any) -> Any:
    if state not in ANNOUNCED:
        spec = graph_spec(tmp_path_factory.mktemp("graphs"), "desk", "./d.py:g")
        ANNOUNCED[state] = announcement_of(Graph.from_variable(spec, GRAPHS[state])).input
    return ANNOUNCED[state]


def runs(state: Any, value: Any) -> bool:
    try:
        GRAPHS[state].invoke(value)
    except Exception:  # noqa: BLE001 - of pydantic, LangGraph and the classes above
        return False
    return True


GOOD = [
    (Everything, {"u": {"x": 1}}),
    (Everything, {"alias": {"day": "x"}}),
    (Everything, {"alias": {"Day": "x"}}),
    (Everything, {"choice": {"DAY": "x"}}),
    (Everything, {"filled": {}}),
    (Everything, {"filled": "2026"}),
    (Everything, {"wrapped": 5}),
    (Everything, {"made": {}}),
    (Everything, {"stripped": {"code": "abc  ", "inner": {"code": " abc "}}}),
    (Everything, {"numbers": {"code": 5}}),
    (Everything, {"tags": "a,b"}),
    (Everything, {"parsed": {"tags": "a,b"}}),
    (Everything, {"zero": "none"}),
    (Everything, {"odd": 5, "words": 5}),
    (Everything, {"side": "sell", "level": 1}),
    (Everything, {"exact": None}),
    (Everything, {"whole": "5", "share": "0.5", "flag": "yes"}),
    (Everything, {"whole": True, "share": False, "flag": 1}),
    (Everything, {"whole": 5.0, "money": "1.5"}),
    (Everything, {"raw": "ää"}),
    (Everything, {"day": 86400, "lasts": 5}),
    (Everything, {"few": [1, 1, 1]}),
    (Everything, {"pair": [1, "a"], "ints": ["1"], "point": {"x": 1}}),
    (Everything, {"names": {"a": 1}, "inner": {"size": "1"}}),
    (Everything, {"tree": {"left": {"right": {"value": "1"}}}}),
    (Everything, {"lines": {"__overwrite__": ["a"]}}),
    (Filled, {"note": "x"}),
    (Filled, {"day": 5, "note": None} | {"day": "x", "note": ""}),
    (Wrapped, {"day": "x"}),
    (Made, {"day": "x"}),
    (Stripped, {"code": "abc  "}),
    (Numbers, {"code": 5}),
    (Typed, {"n": 1.5}),
    (Typed, {"plain": "text"}),
    (Typed, {"lines": [1, None]}),
    (Held, {"question": 5}),
    (Summed, {"question": "x"}),
]


@pytest.mark.parametrize(("state", "value"), GOOD)
def test_what_runs_is_not_refused(tmp_path_factory, state, value):
    assert runs(state, value)
    assert misfit(announced(state, tmp_path_factory), value, "input") is None


@pytest.mark.parametrize(
    ("state", "value", "says"),
    [
        (Everything, {"unknown": 1}, "has a field 'unknown'"),
        (Everything, {"whole": "many"}, "input.whole must be a whole number, not a text"),
        (Everything, {"whole": 1.5}, "input.whole must be a whole number, not a number"),
        (Everything, {"share": 2}, "input.share must be a number (at least 0, below 1)"),
        (Everything, {"text": "abcd"}, "input.text must be a text"),
        (Everything, {"exact": "b"}, "input.exact must be one of 1, 'a', None"),
        (Everything, {"tree": {"left": {"right": {"value": "x"}}}}, "input.tree.left.right.value must be a whole"),
        (Everything, {"inner": {}}, "input.inner lacks the field 'size'"),
        (Everything, {"names": {"a": "x"}, "counts": 5}, "input.counts must be a mapping"),
        (Everything, {"lines": "text"}, "input.lines must be a list or a mapping, not a text"),
        (Everything, {"u": {"x": "x"}}, "input.u"),
        (Typed, {"lines": "text"}, "input.lines must be a list"),
        (Held, {"count": 1}, "input lacks the field 'question'"),
        (Stripped, {"code": 5}, "input.code must be a text, not a number"),
    ],
)
def test_what_a_run_refuses_for_sure_is_refused(tmp_path_factory, state, value, says):
    assert says in (misfit(announced(state, tmp_path_factory), value, "input") or "")
    assert not runs(state, value) or "unknown" in value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-3, 3)
    | st.sampled_from(["", "1", "a", "yes", "2026-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["x", "y", "day", "Day", "code", "left", "value", "size", "a"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(Everything.model_fields)), value=JSON)
def test_no_value_that_runs_is_refused(tmp_path_factory, name, value):
    said = misfit(announced(Everything, tmp_path_factory), {name: value}, "input")
    assert said is None or not runs(Everything, {name: value})
