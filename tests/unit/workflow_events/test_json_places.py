from __future__ import annotations

import tracemalloc
from typing import Any

from workflow_events.json_places import names_of, parts_of


def test_every_part_is_found_with_its_place():
    value = {"a": [1, {"b": None}], "c": "x"}
    assert [(names_of(place), part) for place, part in parts_of("it", value)] == [
        (["it"], value),
        (["it", "a"], [1, {"b": None}]),
        (["it", "a", 0], 1),
        (["it", "a", 1], {"b": None}),
        (["it", "a", 1, "b"], None),
        (["it", "c"], "x"),
    ]


def test_a_place_that_nobody_can_read_is_shortened():
    deep: Any = "end"
    for number in range(5_000):
        deep = {f"n{number}": deep}
    *_, (place, part) = parts_of("it", {"k" * 10_000: deep})
    names = names_of(place)
    assert part == "end"
    assert names[:3] == ["it", "k" * 60 + "…", "n4999"]
    assert names[-1] == "n0"
    assert names.count("…") == 1
    assert len(names) == 21


def test_a_long_name_around_many_values_costs_no_memory():
    """As texts, these places were 400 MB."""
    value = {"k" * 20_000: [[] for _ in range(20_000)]}
    tracemalloc.start()
    try:
        assert sum(1 for _ in parts_of("it", value)) == 20_002
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
