"""Which classes a checkpoint may name: reading it imports their modules and calls them.

Beside LangGraph's own list these are the project's own classes, and data classes (pydantic models, dataclasses, enums
and the like) of packages that the project's modules import, of LangChain and LangGraph, and of packages that a setting
names.

A class that its module does not show (it stands inside of another class or of a function, or is ``Box[int]`` of a
generic ``Box``) cannot be called: LangGraph gives the data of its object instead, of which a model makes one again.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import is_dataclass
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from importlib.util import find_spec
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any
from uuid import UUID

from langgraph_worker.graphs.graph_module import PROJECT_FILE

_ALWAYS = frozenset({"langchain_core", "langgraph"})
_VALUES = (set, frozenset, deque, UUID, Decimal, date, time, timedelta, tzinfo, PurePath, Enum)
_MARKS = ("model_dump", "get_secret_value", "_asdict", "__fields__")  # by which LangGraph knows what it can store
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_MISSING = object()


class LoadableClasses:
    """Decides for LangGraph's serializer. Safe to use from any thread.

    :param folders: the project's folders.
    :param packages: packages that are the project's although they lie elsewhere.
    :param further: modules or packages of which data classes are allowed as well.
    """

    def __init__(
        self, folders: Collection[Path] = (), packages: Collection[str] = (), further: Collection[str] = ()
    ) -> None:
        self._folders = {path for folder in folders for path in (folder, folder.resolve())}
        self._packages = frozenset(packages)
        self._further = frozenset(further)
        self._allowed: set[tuple[str, str]] = set()
        self._refused = threading.local()

    def __contains__(self, key: object) -> bool:
        """Whether ``(module, name)`` may be loaded; a refusal is kept for :meth:`take_refused`."""
        assert isinstance(key, tuple)
        module, name = key
        if (module, name) in self._allowed:
            return True
        found = self._find(module, name)
        if found is _MISSING:
            return False
        if found is not None and self._may_call(found):
            self._allowed.add((module, name))
            return True
        self._refused.first = self.take_refused() or f"{module}.{name}"
        return False

    def take_refused(self) -> str | None:
        """The class that this thread was refused first since the last call; None if none was."""
        refused: str | None = getattr(self._refused, "first", None)
        self._refused.first = None
        return refused

    def _find(self, module: Any, name: Any) -> Any:
        """What the module shows by this name, ``_MISSING`` if nothing; None if it is none of the modules to look at."""
        if not isinstance(module, str) or not isinstance(name, str):
            return None
        if not (self._is_own(module) or self._is_named(module) or _root(module) in _ALWAYS | self._used_packages()):
            return None
        try:
            return getattr(importlib.import_module(module), name, _MISSING)
        except Exception:  # noqa: BLE001 - the module is gone, or no longer works
            return None

    def _may_call(self, found: Any) -> bool:
        # A class that a project's module has only imported, such as subprocess.Popen, is not the project's.
        return isinstance(found, type) and (_holds_data(found) or self._is_own(_module_of(found)))

    def _is_named(self, module: str) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in self._further)

    def _is_own(self, module: str) -> bool:
        root = _root(module)
        if root.startswith(PROJECT_FILE) or root in self._packages:
            return module in sys.modules or not root.startswith(PROJECT_FILE)
        loaded = sys.modules.get(module)
        if loaded is not None:
            return self._lies_in_project(getattr(loaded, "__file__", None))
        try:
            found = find_spec(root)  # of a package at the top nothing is imported
        except (ImportError, ValueError):
            return False
        return found is not None and self._lies_in_project(found.origin)

    def _lies_in_project(self, file: str | None) -> bool:
        if not file:
            return False
        path = PurePath(file)
        return any(
            path.is_relative_to(folder) and _INSTALLED.isdisjoint(path.relative_to(folder).parts)
            for folder in self._folders
        )

    def _own_modules(self) -> Iterator[ModuleType]:
        for name, module in list(sys.modules.items()):
            if module is not None and self._is_own(name):
                yield module

    def _used_packages(self) -> frozenset[str]:
        """The packages of what the project's modules have imported."""
        values = [value for module in self._own_modules() for value in list(vars(module).values())]
        names = [value.__name__ if isinstance(value, ModuleType) else _module_of(value) for value in values]
        return frozenset(_root(name) for name in names if name)


def _root(module: str) -> str:
    return module.partition(".")[0]


def _module_of(value: Any) -> str:
    found = getattr(value, "__module__", None) if isinstance(value, type) or callable(value) else None
    return found if isinstance(found, str) else ""


def _holds_data(found: type) -> bool:
    return issubclass(found, _VALUES) or is_dataclass(found) or any(hasattr(found, mark) for mark in _MARKS)
