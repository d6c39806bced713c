"""Fields of a message that no model has: readers ignore them, and say so, as one of them may be misspelt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel

from workflow_events.nearest_name import nearest_name
from workflow_events.plain_text import one_line

MOST_FIELDS = 5
"""Unknown fields that are named, of one message."""

_MOST_CHARACTERS = 60
_FREE = frozenset({"metadata"})  # nobody interprets what is in it, so that no name in it is wrong


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that has no effect.

    :param place: its dotted path, cut and printable.
    :param meant: the path of the field that was probably meant; None if no name is like it.
    """

    place: str
    meant: str | None

    def __str__(self) -> str:
        hint = f": did you mean {self.meant!r}?" if self.meant else ""
        return f"field {self.place!r} is not known, and has no effect{hint}"


def unknown_fields(model: type[BaseModel], body: dict[str, Any]) -> tuple[UnknownField, ...]:
    """The fields of a valid message that its model does not have, those inside of its parts too; without those that are
    empty, which a newer peer writes of all that it knows.
    """
    return tuple(islice(_unknown(model, body, ""), MOST_FIELDS))


def probably_meant(model: type[BaseModel], location: tuple[int | str, ...], body: dict[str, Any]) -> str | None:
    """For a field that is refused as unknown, or that is missing: the name that was probably meant, or the one that
    was probably written for it. None if there is none.
    """
    inside: Any = body
    kind: type[BaseModel] | None = model
    for name in location[:-1]:
        if kind is not None and isinstance(name, str):
            kind = _part(kind, name)
        inside = inside[name] if _has(inside, name) else None
    missing = str(location[-1])
    if kind is None or not isinstance(inside, dict):
        return None
    if missing in kind.model_fields:
        return nearest_name(missing, [name for name in islice(inside, 100) if name not in kind.model_fields])
    return nearest_name(missing, kind.model_fields)


def _has(value: Any, name: int | str) -> bool:
    if isinstance(name, int):
        return isinstance(value, list) and name < len(value)
    return isinstance(value, dict) and name in value


def _unknown(model: type[BaseModel], body: dict[str, Any], before: str) -> Iterator[UnknownField]:
    for name, value in body.items():
        if name not in model.model_fields:
            if value not in (None, "", [], {}):
                yield UnknownField(_shown(before + name), _meant(model, name, before))
        elif (part := _part(model, name)) is not None and name not in _FREE:
            several = value if isinstance(value, list) else [value]
            for number, one in enumerate(several):
                place = f"{before}{name}.{number}." if isinstance(value, list) else f"{before}{name}."
                if isinstance(one, dict):
                    yield from _unknown(part, one, place)


def _meant(model: type[BaseModel], name: str, before: str) -> str | None:
    nearest = nearest_name(name, model.model_fields)
    if nearest is None:
        return "payload.data" if before == "payload." else None  # an input that stands beside its place
    return before + nearest


@lru_cache(maxsize=256)  # asked for each field of each event; the names of refused ones may be any text
def _part(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a field that holds another message part, or a list of them."""
    field = model.model_fields.get(name)
    kinds = [field.annotation] if field is not None else []
    while kinds:
        kind = kinds.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        kinds += get_args(kind)
    return None


def _shown(place: str) -> str:
    cut = place if len(place) <= _MOST_CHARACTERS else f"{place[:_MOST_CHARACTERS]}…"
    return one_line(cut)
