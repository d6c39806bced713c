"""Each value in JSON with its place, whatever its depth and the length of its names."""

from __future__ import annotations

from typing import Any

from workflow_events.json_places import shortened, values_in


def test_every_value_comes_once_with_its_keys_outermost_first():
    inner = {"b": [1, [], {"c": None}], "d": {}}
    assert [(tuple(keys), value) for keys, value in values_in({"a": inner, "e": "x"})] == [
        ((), {"a": inner, "e": "x"}),
        (("a",), inner),
        (("a", "b"), [1, [], {"c": None}]),
        (("a", "b", 0), 1),
        (("a", "b", 1), []),
        (("a", "b", 2), {"c": None}),
        (("a", "b", 2, "c"), None),
        (("a", "d"), {}),
        (("e",), "x"),
    ]
    assert list(values_in("x")) == [([], "x")]


def test_any_depth_is_walked():
    deep: Any = "end"
    for _ in range(5_000):
        deep = [deep]
    *_, (keys, value) = ((tuple(keys), value) for keys, value in values_in(deep))
    assert (keys, value) == ((0,) * 5_000, "end")


def test_a_long_place_is_cut():
    assert shortened("result['a']") == "result['a']"
    assert shortened("x" * 1_000_000) == "x" * 200 + "…"
