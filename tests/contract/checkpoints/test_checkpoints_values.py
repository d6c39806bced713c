"""What a state may hold: it comes back as it was put, or the put names it; and nothing changes it meanwhile."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from langgraph_worker.checkpoints.serializer import NotStorableError
from langgraph_worker.domain.models import Claim
from tests.support.checkpoints import Commits, MemorySavers, Shelf, checkpoint, latest, put, put_config
from tests.support.runs import State


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Shape(Enum):
    ROUND = "round"


class Order(BaseModel):
    quantity: int
    notes: list[str]


@dataclass
class Position:
    symbol: str
    amount: Decimal


NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
STORABLE = {
    "none": None,
    "booleans": [True, False],
    "a boolean": True,
    "integers": [0, -1, 2**64 - 1, -(2**63)],
    "the greatest integer": 2**64 - 1,
    "the least integer": -(2**63),
    "floats": [0.1, 5e-324, 1.7976931348623157e308, 1e23, 1e16],
    "a float": 0.1,
    "a whole float": 3.0,
    "the least float": 5e-324,
    "not a number": math.nan,
    "infinite": math.inf,
    "negative infinite": -math.inf,
    "not numbers": [math.nan, [math.inf, -math.inf]],
    "an empty text": "",
    "a text with NUL": "a\0b",
    "a text with an escaped NUL": "\\u0000",
    "texts with NUL": ["\0", {"\0key": "\0"}],
    "any text": "äöü 😀 \u2028 \x7f \ufffe \U0010ffff",
    "a long text": "x" * 500_000,
    "bytes": b"\0\xff",
    "many bytes": bytes(range(256)) * 2_000,
    "sets": [{1, 2}, frozenset({"a"})],
    "keys of several kinds": {1: "a", None: "b", 2.5: "c", False: "d"},
    "times": [NOW, NOW.date(), NOW.time(), timedelta(days=1, microseconds=3), date.min, datetime.max],
    "decimals": [Decimal("1.10")],
    "ids": [UUID(int=7)],
    "enumerations": [Colour.RED, Level.HIGH, Shape.ROUND],
    "messages": [
        HumanMessage("hi\0", id="1"),
        AIMessage("", tool_calls=[{"name": "buy", "args": {"n": math.inf}, "id": "t"}], id="2"),
        ToolMessage("done", tool_call_id="t", id="3"),
    ],
    "a model": Order(quantity=1, notes=["a\0", "b"]),
    "a dataclass": Position("MSFT", Decimal("1.5")),
    "deep": [[[[[[[[[[{"a": [{"b": [None]}]}]]]]]]]]]],
}
INLINE = {
    "a huge float": 1.7976931348623157e308,
    "a float beyond integers": 1e23,
    "a large whole float": -1e16,
    "an enumerated text": Colour.RED,
    "an enumerated number": Level.HIGH,
}
NOT_STORABLE = {
    "an integer of 65 bits": [2**64],
    "a negative integer of 65 bits": [-(2**63) - 1],
    "a complex number": 1j,
    "a slice": [slice(1)],
    "a function": {"call": print},
    "a generator": (one for one in ()),
    "a lock": [asyncio.Lock()],
}
CHANGED = {"tuples": ([(1, 2)], [[1, 2]]), "lone surrogates": (["a\ud800b"], ["a?b"]), "a surrogate": ("\udfff", "?")}

WAYS = pytest.mark.parametrize("way", ["checkpoint", "writes"])


class Stored:
    """Puts one value after the other into a thread, and finds each as another saver does."""

    def __init__(self, shelf: Shelf, claim: Claim, way: str) -> None:
        self._claim = claim
        self._savers = [shelf.saver(claim), shelf.saver(claim)]
        self._way = way
        self._number = 0

    async def __call__(self, value: Any) -> Any:
        saver, other = self._savers
        self._number += 1
        below = put_config(self._claim, str(UUID(int=self._number)))
        await put(saver, self._claim, self._number, **({"x": value} if self._way == "checkpoint" else {}))
        if self._way == "writes":
            await saver.aput_writes(below, [("y", 0), ("x", value)], "task")
        found = await other.aget_tuple(below)
        if self._way == "checkpoint":
            return found.checkpoint["channel_values"]["x"]
        assert [(task, channel) for task, channel, _ in found.pending_writes] == [("task", "y"), ("task", "x")]
        return found.pending_writes[1][2]


def same(one: Any, other: Any) -> bool:
    """Equal and of one type; and what is not a number is the same as itself."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or (type(one) is type(other) and bool(one == other))


@WAYS
async def test_a_value_comes_back_as_it_was(shelf, way):
    stored = Stored(shelf, await shelf.claim(), way)
    found = {name: await stored(value) for name, value in STORABLE.items()}
    assert {name: found[name] for name in STORABLE if not same(STORABLE[name], found[name])} == {}


@pytest.mark.parametrize("name", INLINE)
async def test_a_plain_value_comes_back_as_it_was(shelf, name):
    """LangGraph's PostgreSQL saver writes these into JSON, which has one kind of number and knows no classes."""
    stored = Stored(shelf, await shelf.claim(), "checkpoint")
    assert same(INLINE[name], await stored(INLINE[name]))


@WAYS
async def test_what_langgraph_itself_changes_is_changed_alike(shelf, way):
    stored = Stored(shelf, await shelf.claim(), way)
    for value, becomes in CHANGED.values():
        assert await stored(value) == becomes


@WAYS
@pytest.mark.parametrize("name", NOT_STORABLE)
async def test_a_value_without_a_stored_form_is_refused_and_nothing_is_kept(shelf, name, way):
    claim = await shelf.claim()
    stored = Stored(shelf, claim, way)
    await stored(1)
    with pytest.raises(TypeError) as caught:
        await stored(NOT_STORABLE[name])
    if not isinstance(shelf.savers, MemorySavers):
        assert isinstance(caught.value, NotStorableError)
        assert str(caught.value)
    assert await latest(shelf.saver(claim), claim) == ({"x": 1} if way == "checkpoint" else {})


async def test_a_refused_value_is_named_by_its_type(fenced):
    with pytest.raises(NotStorableError, match="slice"):
        await Stored(fenced, await fenced.claim(), "checkpoint")([slice(1)])


async def test_an_integer_too_long_for_text_is_refused(fenced):
    with pytest.raises(NotStorableError):
        await Stored(fenced, await fenced.claim(), "checkpoint")(10**5_000)


# ---- a graph's own hands ----


async def test_a_value_is_stored_as_it_was_when_it_was_put(fenced, monkeypatch):
    claim = await fenced.claim()
    saver = fenced.saver(claim)
    await put(saver, claim, 1)
    below = put_config(claim, str(UUID(int=1)))
    values, written, about = ["a"], [{"deep": ["a"]}], {"source": "loop", "step": 2, "parents": {}, "note": ["a"]}
    made = checkpoint(2, x=values, plain="a")
    commits = Commits(fenced.store, monkeypatch)
    async with commits.held():
        puts = [
            asyncio.create_task(saver.aput_writes(below, [("x", written)], "task")),
            asyncio.create_task(saver.aput(below, made, about, made["channel_versions"])),
        ]
        await commits.waiting()
        for changed in (values, written[0]["deep"], about["note"]):
            changed.append("changed")
        made["channel_values"]["plain"] = "changed"
    await asyncio.gather(*puts)
    parent, found = await saver.aget_tuple(below), await saver.aget_tuple(put_config(claim))
    assert found.checkpoint["channel_values"] == {"x": ["a"], "plain": "a"}
    assert found.metadata["note"] == ["a"]
    assert parent.pending_writes == [("task", "x", [{"deep": ["a"]}])]


async def test_a_node_may_change_what_it_returned(fenced, monkeypatch):
    """LangGraph writes what a node returned while nodes beside it still run."""
    returned = ["a"]
    commits = Commits(fenced.store, monkeypatch)

    async def quick(state: State) -> State:
        return {"log": returned}

    async def slow(state: State) -> State:
        async with commits.held():
            await commits.waiting()
            returned.append("changed")
        raise ConnectionError("gone")

    builder = StateGraph(State)
    for name, node in {"quick": quick, "slow": slow}.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    claim = await fenced.claim()
    with pytest.raises(ConnectionError):
        await fenced.on(claim, builder).run({"value": 1})
    on = fenced.on(claim, builder)
    found = await on.saver.aget_tuple(on.config)
    assert [value for _, channel, value in found.pending_writes if channel == "log"] == [["a"]]
