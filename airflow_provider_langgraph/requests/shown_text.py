"""What a form shows of the texts and values of others: nothing of them acts, and none of them passes for another.

A value is written as JSON, in which a text cannot end its own line: so it can fake no argument beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_events.plain_text import one_line

_TICKS = re.compile("`+")
_LINE_CHARACTERS = 120
_GOES_ON = "↳"
_LONGEST_NAME_CHARACTERS = 60
_LEAST_VALUE_CHARACTERS = 20
_MOST_VALUE_CHARACTERS = 1_000
_NOTE_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Shown:
    """A text of printable lines, for a code block.

    :param is_whole: nothing is left out but runs of blank lines.
    :param characters: of the whole.
    """

    text: str
    is_whole: bool
    characters: int


def shown_text(text: str, most: int) -> Shown:
    """A plain text: of several blank lines one is left, so that none of it is out of sight.

    :param most: how many characters are shown.
    """
    lines: list[str] = []
    left = most
    for line in text.replace("\t", "    ").splitlines():
        is_blank = not line.strip()
        if is_blank and (not lines or not lines[-1]):
            continue
        lines.append("" if is_blank else one_line(line[: most + 1]))
        left -= len(lines[-1]) + 1
        if left < -1:  # the last line has no end
            return Shown("\n".join(lines)[:most], is_whole=False, characters=len(text))
    return Shown("\n".join(lines), is_whole=True, characters=len(text))


def shown_value(value: Any, most: int) -> Shown:
    """A value as JSON, a text as it is. Of a mapping that is too long each value is shortened by itself: the name and
    the beginning of every entry are shown, as long as the names have room.

    :param most: how many characters are shown.
    """
    if isinstance(value, str):
        return shown_text(value, most)
    if isinstance(value, Mapping) and value:
        return _entries(value, most)
    return _cut(_json(value), most)


def shown_name(name: str) -> Shown:
    """A name as one line, which is short."""
    return _cut(one_line(name), _LONGEST_NAME_CHARACTERS)


def code_block(text: str) -> str:
    """Lines of :class:`Shown` as a Markdown block that they cannot leave: no Markdown in them is read.

    A long one goes on in the next line, so that its end is in sight.
    """
    text = "\n".join(map(_wrapped, text.split("\n")))
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in _TICKS.findall(text))])
    return f"{fence}text\n{text}\n{fence}"


def inline_code(text: str) -> str:
    """One line of text as Markdown code that it cannot leave."""
    fence = "`" * (1 + max([0, *(len(ticks) for ticks in _TICKS.findall(text))]))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def lines_of(value: Any) -> Iterable[str]:
    """All of a value or a text, as printable lines."""
    return map(one_line, value.splitlines() if isinstance(value, str) else _json(value).split("\n"))


def _wrapped(line: str) -> str:
    """A long line in pieces, each but the first with a mark; of several blank ones, one is left."""
    kept = [line[:_LINE_CHARACTERS]]
    for start in range(_LINE_CHARACTERS, len(line), _LINE_CHARACTERS):
        piece = line[start : start + _LINE_CHARACTERS]
        if piece.strip() or kept[-1].strip():
            kept.append(piece)
    return f"\n{_GOES_ON} ".join(kept)


def _entries(value: Mapping[str, Any], most: int) -> Shown:
    whole = _json(value)
    if len(whole) <= most:
        shown = _printable(whole)
        if len(shown) <= most:  # a character that must not act is written as several
            return Shown(shown, is_whole=True, characters=len(whole))
    names = [_cut(_printable(_json(name)), _LONGEST_NAME_CHARACTERS).text for name in value]
    parts = [_json(part).replace("\n", "\n  ") for part in value.values()]
    printable = [_printable(part[:most]) for part in parts]
    room = most - sum(len(name) + _NOTE_CHARACTERS for name in names)
    share = min(_fair_share([len(part) for part in printable], room), _MOST_VALUE_CHARACTERS)
    lines = [
        f"  {name}: {_beginning(part, shown, share)}" for name, part, shown in zip(names, parts, printable, strict=True)
    ]
    text = "\n".join(["{", *lines, "}"])
    return Shown(text[:most], is_whole=False, characters=len(whole))


def _beginning(whole: str, shown: str, most: int) -> str:
    if len(shown) <= most:
        return shown
    return f"{shown[:most]}… (of {len(whole):,} characters)"


def _fair_share(lengths: Sequence[int], room: int) -> int:
    """How long each may be, so that all together have room: what short ones leave is for the others."""
    left = room
    for place, length in enumerate(sorted(lengths)):
        share = left // (len(lengths) - place)
        if length > share:
            return max(share, _LEAST_VALUE_CHARACTERS)
        left -= length
    return max(lengths)


def _cut(text: str, most: int) -> Shown:
    shown = _printable(text[: most + 1])
    is_whole = len(text) <= most and len(shown) <= most
    return Shown(shown if is_whole else f"{shown[: most - 1]}…", is_whole, len(text))


def _printable(json_text: str) -> str:
    # Only JSON's own line ends are ends: a text's U+2028 would be one for str.splitlines().
    return "\n".join(map(one_line, json_text.split("\n")))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
