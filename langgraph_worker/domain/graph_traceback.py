"""Where a graph raised: the frames of its own code, short enough for a result and for a line of a log.

The whole traceback, with LangGraph's frames and the worker's, is in the run store (``workflow_errors``).
"""

from __future__ import annotations

import linecache
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType

import workflow_events
from langgraph_worker.domain.attributes import attribute
from langgraph_worker.domain.exception_texts import described, leaves
from workflow_events.plain_text import one_line

MAX_LINES = 60
MAX_BYTES = 8_000
"""Of a whole traceback, as UTF-8."""

_MAX_EXCEPTIONS = 12  # of the chain and of groups together
_FIRST_FRAMES, _LAST_FRAMES = 4, 8  # of one exception: a recursion has a thousand
_MAX_TEXT_LINES = 8
_MAX_LINE_CHARACTERS = 400
_MAX_NOTES = 4
_HEADING = "Traceback (most recent call last; only the graph's own code):"
_LANGGRAPH_NOTE = "During task with name "  # LangGraph's own: the error names the node already

_OURS = (Path(__file__).parents[1], Path(workflow_events.__file__).parent)
_STDLIB = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_RUNS_GRAPHS = frozenset({"langgraph", "langchain_core", "asyncio", "concurrent", "threading.py", "contextlib.py"})

_Call = tuple[CodeType, int, FrameType]


def graph_traceback(error: BaseException, *, with_text: bool, fallback: bool = True) -> str | None:
    """The frames of an exception, of its causes, and of the members if it is a group; None if it has none to show.

    The exception comes first, then what caused it. No line has a control character.

    :param with_text: whether texts, notes and lines of code may be shown, or types and places alone.
    :param fallback: whether frames of libraries are shown of an exception that has none of the project.
    """
    lines: list[str] = []
    found = False
    for label, link in _links(error):
        frames = _frames(link, fallback=fallback, with_text=with_text)
        found = found or bool(frames)
        lines += [f"{label}:"] if label else []
        lines += [*frames, *_said(link, with_text=with_text)]
    return _bounded([_HEADING, *lines]) if found else None


def _links(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """The exceptions to show, each with how it belongs to the one before it."""
    waiting: list[tuple[str, BaseException]] = [("", error)]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_EXCEPTIONS:
        label, link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield label, link
        related: list[tuple[str, BaseException]] = []
        if isinstance(link, BaseExceptionGroup):
            members = leaves(link)
            related = [(f"{number} of {len(members)} in the group", one) for number, one in enumerate(members, 1)]
        if link.__cause__ is not None:
            related.append(("caused by", link.__cause__))
        elif link.__context__ is not None and not link.__suppress_context__:
            related.append(("raised while handling", link.__context__))
        waiting = related + waiting


def _said(error: BaseException, *, with_text: bool) -> list[str]:
    lines = described(error, with_text=with_text).splitlines()
    if with_text:
        added = attribute(error, "__notes__")
        notes = [note for note in added if isinstance(note, str)] if isinstance(added, list) else []
        wanted = [note for note in notes if not note.startswith(_LANGGRAPH_NOTE)]
        noted = [line for note in wanted[:_MAX_NOTES] for line in f"note: {note}".splitlines()[:_MAX_TEXT_LINES]]
    else:
        noted = []
    more = [f"... ({len(lines) - _MAX_TEXT_LINES} more lines)"] if len(lines) > _MAX_TEXT_LINES else []
    kept = [*lines[:_MAX_TEXT_LINES], *more, *noted]
    return [_line(f"    {line}" if number else line) for number, line in enumerate(kept)]


def _frames(error: BaseException, *, fallback: bool, with_text: bool) -> list[str]:
    calls = list(_calls(error.__traceback__))
    if not with_text:  # a model may have written the code, and quote what it is about
        calls = [call for call in calls if not call[0].co_filename.startswith("<")]
    own = [call for call in calls if _is_project(call[0].co_filename)]
    if not own:
        others = [call for call in calls if not _runs_graphs(call[0].co_filename)]
        return _shown(others, with_source=with_text) if fallback else []
    shown, inside = _shown(own, with_source=with_text), calls[-1]
    return shown if inside is own[-1] else [*shown, _line(f"  raised in {_place(inside)}")]


def _calls(trace: TracebackType | None) -> Iterator[_Call]:
    return ((frame.f_code, line, frame) for frame, line in traceback.walk_tb(trace) if line is not None)


def _shown(calls: list[_Call], *, with_source: bool) -> list[str]:
    left_out = len(calls) - _FIRST_FRAMES - _LAST_FRAMES
    if left_out <= 0:
        return [line for call in calls for line in _frame_lines(call, with_source=with_source)]
    first = _shown(calls[:_FIRST_FRAMES], with_source=with_source)
    last = _shown(calls[-_LAST_FRAMES:], with_source=with_source)
    return [*first, f"  ... {left_out:,} more calls ...", *last]


def _frame_lines(call: _Call, *, with_source: bool) -> list[str]:
    code, line, frame = call
    source = "" if not with_source else linecache.getline(code.co_filename, line, frame.f_globals).strip()
    return [_line(f"  File {_place(call)}"), *([_line(f"    {source}")] if source else [])]


def _place(call: _Call) -> str:
    code, line, _ = call
    return f'"{_relative(code.co_filename)}", line {line}, in {code.co_name}'


def _relative(filename: str) -> str:
    """The path of a file below the folder from which Python imports it."""
    path = Path(filename)
    roots = [Path(root) for root in sys.path if root and path.is_relative_to(root)]
    return str(path.relative_to(max(roots, key=lambda root: len(root.parts)))) if roots else filename


@lru_cache(maxsize=4096)
def _is_project(filename: str) -> bool:
    path = Path(filename)
    is_installed = bool(_INSTALLED.intersection(path.parts)) or any(path.is_relative_to(root) for root in _STDLIB)
    return not is_installed and not filename.startswith("<frozen ") and not _is_ours(path)


@lru_cache(maxsize=4096)
def _runs_graphs(filename: str) -> bool:
    path = Path(filename)
    return _is_ours(path) or filename.startswith("<frozen ") or bool(_RUNS_GRAPHS.intersection(path.parts))


def _is_ours(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _OURS)


def _line(text: str) -> str:
    kept = text if len(text) <= _MAX_LINE_CHARACTERS else f"{text[:_MAX_LINE_CHARACTERS]} ..."
    return one_line(kept)


def _bounded(lines: list[str]) -> str:
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode("utf-8", "replace")) + 1
        if len(kept) >= MAX_LINES or size > MAX_BYTES:
            return "\n".join([*kept, f"... ({len(lines) - len(kept)} more lines; the run store has all)"])
        kept.append(line)
    return "\n".join(kept)
