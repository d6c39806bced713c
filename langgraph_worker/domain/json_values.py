"""The JSON form of a graph's values, and where in them a value without one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import pydantic_core
from pydantic import BaseModel, JsonValue, ValidationError

from langgraph_worker.errors import WorkerError
from workflow_events.log_words import with_article

MAX_KEPT_CHARACTERS = 65_536
"""What ``workflow_errors`` keeps of an exception's text, which may quote a whole input."""

_MAX_DETAILS = 100  # of a validation error
_MAX_LEVELS = 64  # searched for the value that cannot be serialised


_FORM: dict[str, Any] = {
    "bytes_mode": "base64",
    "inf_nan_mode": "null",
    # By the type that a value has, not by the one that its field is declared with, which may have fewer fields.
    # serialize_as_any would do that too, but ignores the serializers that fields are annotated with.
    "polymorphic_serialization": True,
}


class NotSerializableError(WorkerError):
    """A value has no JSON form, or no form that a checkpoint can hold.

    :param path: where the value is, such as ``report.figures[2]``; empty for the whole value.
    :param kind: the value's type.
    """

    def __init__(self, path: str, kind: str, reason: str = "") -> None:
        self.path = path
        self.kind = kind
        super().__init__(f"{path or 'the value itself'} is {with_article(kind)}{', ' + reason if reason else ''}")


def to_json(value: Any) -> JsonValue:
    """The JSON form of a state: messages, pydantic models, dataclasses, sets, dates and the like included.

    NaN and infinities become null, as in JavaScript and pandas: JSON has none, and one missing figure should not cost
    a whole run. bytes become URL-safe base64. Nothing else is replaced, and nothing is left out, but for what a model
    excludes itself, and for fields that a subclass of a plain dataclass adds where a model's field is declared as the
    base class.

    :raises NotSerializableError: names the place and the type of the first value that has no JSON form.
    """
    try:
        return _jsonable(value)
    except _REFUSALS as error:
        raise _located(value, _jsonable, error) from None


def locate(value: Any, convert: Callable[[Any], object]) -> NotSerializableError | None:
    """The innermost part of a value that ``convert`` refuses; None if it accepts the value."""
    try:
        convert(value)
    except _REFUSALS as error:
        return _located(value, convert, error)
    return None


_REFUSALS = (Exception,)  # a graph's own objects may raise anything when they are looked at


def _jsonable(value: Any) -> JsonValue:
    return pydantic_core.to_jsonable_python(  # type: ignore[no-any-return]
        value, serialize_unknown=False, **_FORM
    )


def _located(value: Any, convert: Callable[[Any], object], error: Exception) -> NotSerializableError:
    path, culprit = _culprit(value, convert)
    # The type explains enough for a leaf; a container that is circular or too deep needs the error's own text.
    reason = str(error) if isinstance(culprit, (dict, list, tuple, set, frozenset)) else ""
    return NotSerializableError(path, _type_name(culprit), reason)


def _culprit(value: Any, convert: Callable[[Any], object], path: str = "", depth: int = 0) -> tuple[str, Any]:
    if depth < _MAX_LEVELS:
        for place, child in _children(value):
            try:
                convert(child)
            except _REFUSALS:
                return _culprit(child, convert, f"{path}{place}".lstrip("."), depth + 1)
    return path, value


def _children(value: Any) -> Iterable[tuple[str, Any]]:
    """Each part of a value, and what its place adds to the path: not the path, whose length is the sender's."""
    if isinstance(value, Mapping):
        return ((f".{key}", child) for key, child in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return ((f"[{index}]", child) for index, child in enumerate(value))
    if isinstance(value, BaseModel):
        return ((f".{name}", child) for name, child in value)
    if is_dataclass(value) and not isinstance(value, type):
        return ((f".{item.name}", getattr(value, item.name)) for item in fields(value))
    return ()


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def capped(value: Any, max_bytes: int, change: Callable[[JsonValue], JsonValue] = lambda whole: whole) -> JsonValue:
    """A value for the step records: JSON of at most ``max_bytes``, else a note of its size and its beginning.

    Never raises, whatever the value is: the record is only there to be looked at.

    :param change: gets the whole value as JSON, before anything is cut from it.
    """
    try:
        plain = pydantic_core.to_jsonable_python(value, serialize_unknown=True, **_FORM)
        text = pydantic_core.to_json(change(plain), **_FORM)
        if len(text) <= max_bytes:
            return pydantic_core.from_json(text)  # type: ignore[no-any-return]
    except _REFUSALS:
        return {"not_json": _type_name(value)}
    return {"cut": True, "bytes": len(text), "begins": text[: max_bytes // 2].decode("utf-8", "replace")}


def describe(error: BaseException) -> str:
    """An exception's text for a person, cut if it quotes too much. A validation error names fields and rules, but no
    values.
    """
    try:
        return _kept(_text_of(error) or type(error).__name__)
    except Exception:  # noqa: BLE001 - an exception may fail to say what it is
        return f"{type(error).__name__}, which has no text"


def _text_of(error: BaseException) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    details = error.errors(include_url=False, include_input=False)
    lines = [f"{'.'.join(map(str, detail['loc'])) or 'input'}: {detail['msg']}" for detail in details[:_MAX_DETAILS]]
    if len(details) > _MAX_DETAILS:
        lines.append(f"and {len(details) - _MAX_DETAILS:,} more")
    return f"{error.title}: {'; '.join(lines)}"


def _kept(text: str) -> str:
    return (
        text
        if len(text) <= MAX_KEPT_CHARACTERS
        else f"{text[:MAX_KEPT_CHARACTERS]} ... ({len(text):,} characters in all)"
    )
