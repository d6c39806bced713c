"""A table of texts that fits a terminal, whatever the texts hold."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence

from workflow_events.plain_text import one_line

_GAP = "  "
_NARROWEST = 8
_LONGEST_CELL = 400  # characters that are looked at: the rest would not fit anyway
_WITHOUT_A_TERMINAL = 140


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> list[str]:
    """The lines of a table. Cells that are too wide are cut, the widest columns first.

    :param width: in columns of the terminal; None: as wide as it is, and wide where there is none.
    """
    cells = [[one_line(cell[:_LONGEST_CELL]) for cell in row] for row in (head, *rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    room = shutil.get_terminal_size((_WITHOUT_A_TERMINAL, 24)).columns if width is None else width
    _narrow(widths, room - len(_GAP) * (len(head) - 1))
    return [_GAP.join(map(_fitted, row, widths)).rstrip() for row in cells]


def _narrow(widths: list[int], room: int) -> None:
    while sum(widths) > room and (widest := max(widths)) > _NARROWEST:
        widths[widths.index(widest)] -= 1


def _fitted(text: str, width: int) -> str:
    if _width(text) <= width:
        return text + " " * (width - _width(text))
    kept, used = "", 0
    for char in text:
        used += _width(char)
        if used > width - 1:
            break
        kept += char
    return kept + "…" + " " * (width - 1 - _width(kept))


def _width(text: str) -> int:
    """How many columns a terminal needs for it."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
