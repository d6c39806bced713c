"""JSON on a command line: as text, in a file, or on standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from langgraph_worker.errors import SettingsError


def read_json(flag: str, given: str) -> Any:
    """The value of a flag.

    :param given: JSON, ``@FILE``, or ``-`` for standard input.
    :raises SettingsError: names the flag, the place of what is wrong, and what is right.
    """
    text, place = _text(flag, given)
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(
            f"""{flag}: {place} is no JSON: {error}. A text needs quotes inside of the shell's: {flag} '"text"'"""
        ) from None


def read_object(flag: str, given: str | None) -> dict[str, Any] | None:
    """The same, where only an object is right; None if the flag is not given.

    :raises SettingsError: names the flag.
    """
    if given is None:
        return None
    value = read_json(flag, given)
    if not isinstance(value, dict):
        raise SettingsError(f'{flag}: must be a JSON object, such as {{"name": "value"}}')
    return value


def read_answer(text: str) -> tuple[str | None, Any]:
    """A value of ``--answer``, which is ``ID=JSON`` or ``JSON``: an id has no character that JSON could begin with, but
    digits and letters.

    :raises SettingsError: see :func:`read_json`.
    """
    name, sign, value = text.partition("=")
    if sign and name.replace("-", "").replace("_", "").isalnum():
        return name, read_json("--answer", value)
    return None, read_json("--answer", text)


def _text(flag: str, given: str) -> tuple[str, str]:
    """The JSON's text, and its place in words."""
    if given == "-":
        return sys.stdin.read(), "standard input"
    if not given.startswith("@"):
        return given, repr(given)
    path = Path(given[1:])
    try:
        return path.read_text(encoding="utf-8"), f"file {path}"
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{flag}: file {path} cannot be read: {reason}") from None
