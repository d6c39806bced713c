"""Changes of an event's body as a tree: fields gone, twice, of another type, elsewhere, deeper, larger."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from random import Random
from typing import Any

from tests.fuzz import hostile_values, reserved_names

AGAIN = "@again"
"""Ends the name of a field that is to be there twice; :func:`tests.fuzz.byte_mutations.dump` takes it off."""

_INSTANT_FIELDS = ("timestamp", "deadline", "run_start", "started_at", "finished_at")
_ID_FIELDS = ("event_id", "id", "correlation_id", "query_id")
_KNOWN_FIELDS = (
    *(
        "event_id",
        "event_type",
        "timestamp",
        "source",
        "workflow_id",
        "workflow_run_id",
        "payload",
        "metadata",
        "graph",
    ),
    *("thread_id", "attempt", "deadline", "reply_topic", "config", "budget", "round", "answers", "correlation_id"),
    *("context", "assistant", "command"),
    *("reason", "requested_by", "query_id", "correlation_ids", "status", "result", "error"),
)

_Spot = tuple[Any, Any]
"""A dict or list, and the key or index in it."""


def _spots(tree: Any) -> list[_Spot]:
    """Every place of a tree but its root; of a large one the first few hundred."""
    found: list[_Spot] = []
    waiting = [tree]
    while waiting and len(found) < 400:
        node = waiting.pop()
        if isinstance(node, dict):
            places: list[Any] = list(node)[:200]
        elif isinstance(node, list):
            places = list(range(len(node)))[:20]
        else:
            continue
        found += [(node, place) for place in places]
        waiting += [node[place] for place in places]
    return found


def _spot(body: dict[str, Any], rng: Random) -> _Spot | None:
    spots = _spots(body)
    # Half of the time one of the event's own fields: its input has more of them, and means less.
    top = [spot for spot in spots if spot[0] is body]
    if not spots:
        return None
    return rng.choice(top if top and rng.random() < 0.5 else spots)


def _delete(body: dict[str, Any], rng: Random) -> None:
    if (spot := _spot(body, rng)) is not None:
        del spot[0][spot[1]]


def _retype(body: dict[str, Any], rng: Random) -> None:
    if (spot := _spot(body, rng)) is not None:
        spot[0][spot[1]] = hostile_values.value(rng)


def _fitting(body: dict[str, Any], rng: Random) -> None:
    """Another value of the kind that the field wants."""
    wanted = [spot for spot in _spots(body) if spot[1] in (*_INSTANT_FIELDS, *_ID_FIELDS)]
    if not wanted or rng.random() < 0.3:
        body[rng.choice(_INSTANT_FIELDS[:2])] = hostile_values.instant(rng)
        return
    holder, name = rng.choice(wanted)
    holder[name] = hostile_values.instant(rng) if name in _INSTANT_FIELDS else hostile_values.identifier(rng)


def _instants(body: dict[str, Any], rng: Random) -> None:
    """Every instant that the message has."""
    for holder, name in _spots(body):
        if name in _INSTANT_FIELDS:
            holder[name] = hostile_values.instant(rng)


def _text(body: dict[str, Any], rng: Random) -> None:
    spots = [spot for spot in _spots(body) if isinstance(spot[0][spot[1]], str)]
    if spots:
        holder, name = rng.choice(spots)
        holder[name] = hostile_values.text(rng) if rng.random() < 0.5 else holder[name] + hostile_values.text(rng)


def _rename(body: dict[str, Any], rng: Random) -> None:
    spot = _spot(body, rng)
    if spot is not None and isinstance(spot[0], dict):
        name = str(spot[1])
        new = rng.choice(
            (name.upper(), f" {name}", f"{name}\0", name.replace("o", "о"), hostile_values.text(rng), f"__{name}")
        )
        spot[0][new] = spot[0].pop(spot[1])


def _twice(body: dict[str, Any], rng: Random) -> None:
    spot = _spot(body, rng)
    if spot is not None and isinstance(spot[0], dict):
        spot[0][f"{spot[1]}{AGAIN}"] = hostile_values.value(rng) if rng.random() < 0.7 else spot[0][spot[1]]


def _add(body: dict[str, Any], rng: Random) -> None:
    spot = _spot(body, rng)
    holder = spot[0] if spot is not None and isinstance(spot[0], dict) else body
    holder[rng.choice(_KNOWN_FIELDS) if rng.random() < 0.6 else hostile_values.text(rng)] = hostile_values.value(rng)


def _box(body: dict[str, Any], rng: Random) -> None:
    if (spot := _spot(body, rng)) is not None:
        inner = spot[0][spot[1]]
        for _ in range(rng.choice((1, 2, 150, 198, 205))):
            inner = [inner]
        spot[0][spot[1]] = inner


def _move(body: dict[str, Any], rng: Random) -> None:
    """One field's value as another's."""
    one, other = _spot(body, rng), _spot(body, rng)
    if one is not None and other is not None:
        with suppress(RecursionError):
            other[0][other[1]] = deepcopy(one[0][one[1]])


def _many(body: dict[str, Any], rng: Random) -> None:
    """Lists at and over their limits."""
    match rng.randrange(5):
        case 0:
            body.setdefault("config", {})
            if isinstance(body["config"], dict):
                body["config"]["tags"] = ["t" * rng.choice((1, 512, 513))] * rng.choice((64, 65, 5_000))
        case 1:
            value = hostile_values.value(rng)
            # A large one so often would be a gigabyte, which no broker takes.
            answer = {
                "interrupt_id": hostile_values.text(rng)[:2_000],
                "value": None if len(repr(value)) > 2_000 else value,
            }
            # Copies: what a later mutation puts into one of them would be in all.
            body["answers"] = [deepcopy(answer) for _ in range(rng.choice((0, 256, 257, 3_000)))]
        case 2:
            body["correlation_ids"] = [hostile_values.identifier(rng)] * rng.choice((0, 10_000, 10_001))
        case 3:
            # A way to each of these, written out, would be gigabytes.
            name = "k" * rng.choice((512, 100_000, 300_000))
            value = {name: [[number] for number in range(rng.choice((10, 50_000)))]}
            body["result" if "status" in body else "payload"] = value if "status" in body else {"data": value}
        case _:
            body["payload"] = {"data": {f"field {number}": number for number in range(rng.choice((1_000, 20_000)))}}


MUTATIONS: tuple[tuple[str, Callable[[dict[str, Any], Random], None]], ...] = (
    ("delete", _delete),
    ("retype", _retype),
    ("retype", _retype),
    ("retype", _retype),
    ("fitting", _fitting),
    ("fitting", _fitting),
    ("instants", _instants),
    ("text", _text),
    ("text", _text),
    ("reserved", reserved_names.plant),
    ("reserved", reserved_names.plant),
    ("rename", _rename),
    ("twice", _twice),
    ("add", _add),
    ("add", _add),
    ("box", _box),
    ("move", _move),
)
RARE = (("many", _many),)
