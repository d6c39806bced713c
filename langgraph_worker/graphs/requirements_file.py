"""``requirements.txt``, as pip reads it: the packages and the folders that it names."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"^(?:-r|--requirement)(?:\s+|=|(?<=-r))(?P<file>.+)$")
_EDITABLE = re.compile(r"^(?:-e|--editable)(?:\s+|=)(?P<target>.+)$")
_OPTION = re.compile(r"\s--?[a-z].*$")  # such as --hash, behind a requirement


def read_requirements(file: Path) -> tuple[list[str], list[Path]]:
    """The packages, as they are written there, and the folders that exist; of files that it includes, too.

    A file that is missing or cannot be read names nothing.
    """
    texts: list[str] = []
    folders: list[Path] = []
    _read(file, texts, folders, set())
    return texts, folders


def _read(file: Path, texts: list[str], folders: list[Path], seen: set[Path]) -> None:
    file = file.resolve()
    if file in seen:
        return
    seen.add(file)
    for line in _lines(file):
        if include := _INCLUDE.match(line):
            _read(file.parent / include["file"].strip(), texts, folders, seen)
            continue
        editable = _EDITABLE.match(line)
        if line.startswith("-") and not editable:
            continue
        text = _OPTION.sub("", editable["target"] if editable else line).strip()
        folder = (file.parent / re.sub(r"\[[^]]*\]$", "", text)).resolve()
        # A bare word is a package for pip, also where a folder has its name.
        if editable or text.startswith((".", "/")):
            if folder.is_dir():
                folders.append(folder)
            elif "://" in text:
                texts.append(text)
        else:
            texts.append(text)


def _lines(file: Path) -> Iterator[str]:
    try:
        data = file.read_bytes()
    except OSError:
        return
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as PowerShell redirects it
    text = data.decode("utf-16" if utf_16 else "utf-8-sig", errors="replace")
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if stripped := _COMMENT.sub("", line).strip():
            yield stripped
