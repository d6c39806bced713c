"""What is said of an input that a graph does not take, and what is not looked at."""

from __future__ import annotations

import re
import urllib.request
from typing import Any

import pytest

from airflow_provider_langgraph.requests.schema_check import misfit

DESK = {
    "type": "object",
    "properties": {
        "symbol": {"type": "string", "maxLength": 5},
        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "side": {"enum": ["buy", "sell"]},
        "orders": {"type": "array", "items": {"$ref": "#/$defs/Order"}},
        "share": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "messages": {"title": "Messages"},
    },
    "required": ["symbol"],
    "$defs": {
        "Order": {
            "type": "object",
            "properties": {"price": {"type": "number"}},
            "required": ["price"],
            "title": "Order",
        }
    },
}


@pytest.mark.parametrize(
    "value",
    [
        {"symbol": "AAPL"},
        {"symbol": "AAPL", "count": 3, "side": "buy", "share": 0, "orders": [{"price": 1}]},
        {"symbol": "AAPL", "count": None, "messages": [["user", "hi"]]},
        {"symbol": "AAPL", "messages": "hi"},
    ],
)
def test_what_fits(value):
    assert misfit(DESK, value, "input") is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            {"symbul": "AAPL"},
            "input has a field 'symbul', which the graph does not take. Did you mean 'symbol'? It takes count, "
            "messages, orders, share, side, symbol. Correct the name, or leave the field out",
        ),
        (
            {"symbol": "A", "zzz": 1},
            "input has a field 'zzz', which the graph does not take. It takes count, messages, orders, share, side, "
            "symbol. Correct the name, or leave the field out",
        ),
        ({}, "input lacks the field 'symbol', which the graph requires. Add it"),
        (
            {"symbol": 5},
            "input.symbol must be a text (a text of at most 5 characters), not a number. Correct the value",
        ),
        (
            {"symbol": "A", "count": "many"},
            "input.count must be a whole number or None, not a text. Correct the value",
        ),
        ({"symbol": "A", "side": "hold"}, "input.side must be one of 'buy', 'sell', not a text. Correct the value"),
        (
            {"symbol": "A", "orders": [{"price": 1}, {"price": None}]},
            "input.orders[1].price must be a number, not None. Correct the value",
        ),
        (
            {"symbol": "A", "orders": [{}]},
            "input.orders[0] lacks the field 'price', which the graph requires. Add it",
        ),
        (
            {"symbol": "A", "share": 1},
            "input.share must be a number (at least 0, below 1), not a number. Correct the value",
        ),
        ([1], "input must be a mapping, not a list. Correct the value"),
    ],
)
def test_what_does_not_is_one_sentence_with_its_place_and_the_remedy(value, says):
    assert misfit(DESK, value, "input") == says


def test_a_value_is_never_shown():
    said = misfit(DESK, {"symbol": "the secret password"}, "input")
    assert said is not None
    assert "secret" not in said


def test_in_a_conversation_nothing_is_missing_but_inside_of_what_is_given():
    assert misfit(DESK, {}, "input", is_whole=False) is None
    assert "price" in (misfit(DESK, {"orders": [{}]}, "input", is_whole=False) or "")


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {},
        {"type": "object", "additionalProperties": True, "properties": {"a": {}}},
        {"type": "object", "patternProperties": {"^x": {}}, "properties": {"a": {}}},
        {"type": "object", "properties": {"symbol": {"pattern": "^never$", "format": "date"}}},
        {"type": "object", "properties": {"symbol": {"$ref": "#/$defs/Missing"}}},
        {"type": 5},
        {"properties": 7, "required": 8, "anyOf": 9},
        {"$ref": "#"},
    ],
)
def test_a_schema_that_allows_it_or_cannot_be_used_checks_nothing(schema: Any):
    assert misfit(schema, {"symbol": "AAPL"}, "input") is None


def test_a_model_that_refers_to_itself_is_checked():
    tree = {
        "$ref": "#/$defs/Tree",
        "$defs": {"Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}, "required": ["left"]}},
    }
    assert misfit(tree, {"leaf": 1}, "input") is not None
    assert misfit(tree, {"left": {"left": {}}}, "input") == (
        "input.left.left lacks the field 'left', which the graph requires. Add it"
    )


@pytest.mark.filterwarnings("ignore:Automatically retrieving remote references:DeprecationWarning")
def test_nothing_is_fetched_for_a_schema(monkeypatch):
    asked = []

    def fetch(*arguments: Any, **named: Any) -> Any:
        asked.append(arguments)
        raise OSError

    monkeypatch.setattr(urllib.request, "urlopen", fetch)
    away = {"type": "object", "properties": {"symbol": {"$ref": "https://example.com/schema.json"}}}
    assert misfit(away, {"symbol": 5}, "input") is None
    assert asked == []


def test_names_of_others_stay_on_their_line():
    schema = {"type": "object", "properties": {"a\nERROR b": {"type": "string"}}}
    said = misfit(schema, {"a\nERROR b": 1}, "input")
    assert said is not None
    assert not re.search(r"\n", said)


def levels(number: int) -> dict[str, Any]:
    """A schema that doubles at each level, and whose last level no value fits."""
    steps = {f"L{at}": {"allOf": [{"$ref": f"#/$defs/L{at + 1}"}] * 2} for at in range(number)}
    return {"$ref": "#/$defs/L0", "$defs": {**steps, f"L{number}": {"type": "integer"}}}


def both(name: str) -> dict[str, Any]:
    fields = {side: {"anyOf": [{"$ref": f"#/$defs/{one}"} for one in ("Add", "Mul", "Num")]} for side in SIDES}
    return {"type": "object", "properties": fields, "required": list(SIDES), "title": name}


SIDES = ("left", "right")
SUM = {
    "properties": {"sum": {"$ref": "#/$defs/Add"}},
    "$defs": {
        "Add": both("Add"),
        "Mul": both("Mul"),
        "Num": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    },
}


def chain(depth: int) -> Any:
    return {"left": chain(depth - 1), "right": {"number": 1}} if depth else {"number": "wrong"}


def test_what_doubles_at_each_level_is_compared_once():
    assert misfit(levels(30), "text", "input") == "input must be a whole number, not a text. Correct the value"
    assert misfit(levels(30), 5, "input") is None
    assert misfit(SUM, {"sum": chain(25)}, "input") is not None


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"enum": list(range(1000))}}, [*range(1000), "text"]),
        ({"items": {"required": ["a"] * 1000}}, [*({"a": at} for at in range(500)), {}]),
        ({"items": {"anyOf": [*({"type": "null"} for _ in range(1000)), {"type": "integer"}]}}, [*range(1000), "text"]),
        (
            {"items": {"$ref": "#/$defs/A"}, "$defs": {"A": {"allOf": [{"type": "integer"}] * 5000}}},
            [*range(1000), "a"],
        ),
        (levels(150), "text"),
    ],
)
def test_a_check_that_costs_too_much_says_nothing(schema, value):
    assert misfit(schema, value, "input") is None


def test_deep_values_and_schemas_say_nothing():
    value: Any = "text"
    for _ in range(5000):
        value = [value]
    loop = {"$ref": "#/$defs/L", "$defs": {"L": {"type": "array", "items": {"$ref": "#/$defs/L"}}}}
    assert misfit(loop, value, "input") is None
    cycle = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}
    assert misfit(cycle, 5, "input") is None
    itself = {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "integer"}]}}}
    assert misfit(itself, "text", "input") is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}, "required": [["x"]]},
        {"type": [["x"]], "properties": {"a": {}}},
        {"enum": [["x"], {}], "properties": {"a": {"enum": 5}}},
        {"properties": {"a": {"minimum": "x", "maxLength": [], "type": {}, "enum": [], "anyOf": []}}},
        {"properties": {"a": {"anyOf": [None, 5, []], "prefixItems": 5, "items": 5, "allOf": 5}}},
        {"properties": {"a": {"$ref": 5}, "b": {"$ref": ["#"]}}, "$defs": 5},
    ],
)
def test_a_schema_of_any_form_raises_nothing(schema):
    for value in ({"a": 1}, {"a": [1]}, {"a": "x"}, {"a": None}):
        misfit(schema, value, "input")


def test_what_others_wrote_is_cut_to_a_sentence():
    long = "n" * 10_000
    many = {"properties": {"a": {"enum": [1] * 50_000}, **{f"{long}{at}": {} for at in range(1000)}}}
    for value in ({"a": 2}, {"b": 1}, {long: 1}):
        assert 10 < len(misfit(many, value, "input") or "") < 2500
    deep = {"properties": {"a": {"required": [long], "title": long}}}
    assert len(misfit(deep, {"a": {}}, "input") or "") < 200


def test_where_several_forms_of_a_kind_do_not_fit_it_says_so():
    schema = {"properties": {"u": {"anyOf": [{"type": "object", "required": [name]} for name in "ab"]}}}
    assert misfit(schema, {"u": {}}, "input") == (
        "input.u fits none of the 2 forms that the graph takes there. Correct the value"
    )
    assert misfit(schema, {"u": 5}, "input") == "input.u must be a mapping, not a number. Correct the value"


@pytest.mark.parametrize("value", [{"share": "0.5"}, {"share": True}, {"count": "7"}, {"count": 7.0}])
def test_what_pydantic_converts_is_not_refused(value):
    assert misfit(DESK, {"symbol": "A", **value}, "input") is None
