"""Where in a JSON value something lies, for checks that look at all of a message or a result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workflow_events.plain_text import one_line

Place = tuple[Any, str | int]
"""The place of what holds a value, None for the whole; and the value's name or number in there."""

_VALUES = {("payload", "data"): 0, ("context",): 1, ("config", "configurable"): 1, ("payload", "command", "update"): 0}
"""The fields that hold any JSON, and how many of the names behind them pydantic gives as they are."""

_MOST_NAMES = 20
_MOST_CHARACTERS = 60


def parts_of(whole: str, value: Any) -> Iterator[tuple[Place, Any]]:
    """A JSON value and all values in it, each with its place, from top to bottom. Not recursive: the depth is the
    sender's.

    A place links to the one around it. As a text it would repeat all names around it: one long name around many values
    would fill the memory.

    :param whole: the name of the value itself.
    """
    open_parts: list[Iterator[tuple[Place, Any]]] = [iter([((None, whole), value)])]
    while open_parts:
        for place, part in open_parts[-1]:
            yield place, part
            if part and isinstance(part, (dict, list)):
                open_parts.append(_inside(place, part))
                break
        else:
            open_parts.pop()


def _inside(place: Place, value: dict[str, Any] | list[Any]) -> Iterator[tuple[Place, Any]]:
    names = value.items() if isinstance(value, dict) else enumerate(value)
    return (((place, name), part) for name, part in names)


def names_of(place: Place) -> list[str | int]:
    """The names of a place for a person, the outermost first. Long names are cut; of many, those in the middle are left
    out.
    """
    names: list[str | int] = []
    link: Place | None = place
    while link is not None:
        link, name = link
        names.append(name if isinstance(name, int) or len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}…")
    names.reverse()
    if len(names) > _MOST_NAMES:
        names[_MOST_NAMES // 2 : -_MOST_NAMES // 2] = ["…"]
    return names


def place_of_no_text(value: dict[str, Any]) -> str:
    """The dotted place of the first text in a value that is no Unicode: half of a surrogate pair, which UTF-8 and every
    database refuse. A key's place is that of what holds it. Empty if there is none.
    """
    for place, part in parts_of("", value):
        texts = part if isinstance(part, dict) else [part]
        if any(isinstance(text, str) and not _is_unicode(text) for text in texts):
            return one_line(".".join(str(name) for name in names_of(place)[1:])) or "the message"
    return ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def field_names(location: tuple[int | str, ...]) -> list[str]:
    """The names on the way to a wrong field, from the location in pydantic's error: inside of a JSON value pydantic
    puts the kind of what holds a name before each name.
    """
    for field, plain in _VALUES.items():
        if location[: len(field)] == field:
            head = len(field) + plain
            location = (*location[:head], *location[head:][1::2])
            break
    return [str(name) for name in location]
