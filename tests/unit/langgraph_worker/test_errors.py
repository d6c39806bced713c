"""Every error of the worker is in one tree, and the tree is drawn as it is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import langgraph_worker
from langgraph_worker import errors
from langgraph_worker.errors import LeaseLostError, StoreError, WorkerError


def _classes() -> set[type[BaseException]]:
    """The exceptions that the package defines. What stops a call is none, nor is what stands for one of a graph's."""
    names = [module.name for module in pkgutil.walk_packages(langgraph_worker.__path__, "langgraph_worker.")]
    modules = [importlib.import_module(name) for name in names if ".migrations" not in name and "__main__" not in name]
    return {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__.startswith("langgraph_wor")
        if not value.__name__.startswith("_")
    }


def _drawn() -> dict[str, str]:
    """The parent of each class, by name, as the picture has it; "" for the root."""
    lines = (errors.__doc__ or "").split("::\n\n")[1].splitlines()
    drawn: dict[str, str] = {}
    branch: list[str] = []
    for line in filter(None, lines):
        depth = len(line[4:]) - len(line[4:].lstrip("│├└─ "))
        del branch[depth // 4 :]
        name = line[4:].lstrip("│├└─ ").split()[0]
        drawn[name] = branch[-1] if branch else ""
        branch.append(name)
    return drawn


def test_every_error_is_in_the_picture_below_its_base():
    parents = {error.__name__: error.__mro__[1].__name__ for error in _classes()}
    assert _drawn() == parents | {"WorkerError": ""}


def test_whether_a_retry_helps_is_said_when_an_error_is_made():
    assert (WorkerError("no").retriable, StoreError("away").retriable, LeaseLostError("gone").retriable) == (
        False,
        True,
        False,
    )
    assert not StoreError("a newer schema", retriable=False).retriable
