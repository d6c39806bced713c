"""Each value in JSON of others, and how the place where it stands is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LONGEST_PLACE_CHARACTERS = 200

Keys = list[str | int]
"""The way to a value: names of objects' members, numbers of arrays' elements."""


def values_in(value: Any) -> Iterator[tuple[Keys, Any]]:
    """The value itself, and all in it, outermost first, each with its keys.

    The depth and the names are the sender's: it does not recurse, and holds one way, not one for each value. The list
    of keys changes as the iteration goes on.
    """
    keys: Keys = []
    yield keys, value
    open_values = [_members(value)]
    while open_values:
        for key, inner in open_values[-1]:
            keys.append(key)
            yield keys, inner
            if isinstance(inner, (dict, list)):
                open_values.append(_members(inner))
                break
            keys.pop()
        else:
            open_values.pop()
            if keys:
                keys.pop()


def _members(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return iter(value.items())
    return iter(enumerate(value)) if isinstance(value, list) else iter(())


def shortened(place: str) -> str:
    """A place's name, cut if it is long: a single key may be as large as its message."""
    return place if len(place) <= LONGEST_PLACE_CHARACTERS else f"{place[:LONGEST_PLACE_CHARACTERS]}…"
