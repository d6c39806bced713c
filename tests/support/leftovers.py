"""What a process left behind, found by a mark in its environment."""

from __future__ import annotations

import uuid
from pathlib import Path

import psutil

MARK = "TEST_MARK"


def new_mark() -> dict[str, str]:
    """An environment variable for a process to start; all its descendants inherit it."""
    return {MARK: uuid.uuid4().hex}


def marked(mark: dict[str, str]) -> list[psutil.Process]:
    """The living processes that carry the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark[MARK]:
                found.append(process)
        except psutil.Error:
            continue
    return found


def left_behind(mark: dict[str, str], temp: Path) -> list[str]:
    """The command lines of marked processes, and the names of files in the folder for temporary files."""
    return [" ".join(process.cmdline()) for process in marked(mark)] + [path.name for path in temp.iterdir()]
