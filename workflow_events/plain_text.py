"""Text of others in a log or a terminal: it must not pass for a line of its own, nor move the cursor."""

from __future__ import annotations

import re

_LINE_END = re.compile(r"\r?\n(?! {4})")


def one_line(text: str) -> str:
    """The text as one line of printable characters; every other character is written as Python writes it in source."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def indented(text: str) -> str:
    """The text with its lines and tabs, all but the first line indented; other characters as in :func:`one_line`.

    Calling it again changes nothing.
    """
    if text.isprintable():
        return text
    lines = _LINE_END.sub("\n    ", text)
    return "".join(char if char in "\n\t" else _escaped(char) for char in lines)


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()
