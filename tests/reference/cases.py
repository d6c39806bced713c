"""The projects and their conversations. Imported by the recorder too, so it needs the standard library only.

``projects/<name>/cases.json`` is a list of conversations, each on a thread of its own::

    {"name": "asks_twice", "turns": [{"graph": "desk", "input": {"x": 1}}, {"graph": "desk", "answers": ["yes"]}]}

A turn has ``graph``, and of ``input``, ``answers``, ``goes_on`` and ``command`` one: an input; values for what the turn
before asked, in the order of the questions' JSON; a breakpoint is passed; LangGraph's command with ``update`` and
``goto``. ``context``, ``config`` and ``interrupt_before`` may be beside them.

A conversation may have ``differs``, why the worker answers otherwise, with the outcomes of its own in ``expected``.
``dies_at`` are numbers of progress messages at which the worker is killed: a node's start and its end count one each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECTS = HERE / "projects"
RECORDED = HERE / "recorded"
_KEYS = {"name", "turns", "differs", "expected", "dies_at"}
_TURN_KEYS = {"graph", "input", "answers", "goes_on", "command", "context", "config", "interrupt_before"}


@dataclass(frozen=True)
class Conversation:
    """Turns on one thread.

    :param differs: why the worker answers otherwise than the reference; empty if it does not.
    :param expected: then its outcomes.
    :param dies_at: the progress messages at which the worker is killed, each in a run of its own.
    """

    project: str
    name: str
    turns: list[dict[str, Any]]
    differs: str = ""
    expected: list[dict[str, Any]] | None = None
    dies_at: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.project}-{self.name}"


def project_names() -> list[str]:
    return sorted(path.parent.name for path in PROJECTS.glob("*/cases.json"))


def conversations(project: str) -> list[Conversation]:
    """The conversations of a project."""
    return [
        _conversation(project, value) for value in json.loads((PROJECTS / project / "cases.json").read_text("utf-8"))
    ]


def _conversation(project: str, value: dict[str, Any]) -> Conversation:
    where = f"{project}/cases.json: {value.get('name')}"
    assert not value.keys() - _KEYS, f"{where}: no such key: {value.keys() - _KEYS}"
    for turn in value["turns"]:
        assert not turn.keys() - _TURN_KEYS, f"{where}: no such key: {turn.keys() - _TURN_KEYS}"
    assert ("differs" in value) == ("expected" in value), f"{where}: 'differs' needs 'expected', and it 'differs'"
    return Conversation(project, **{**value, "dies_at": tuple(value.get("dies_at", ()))})


def recorded(project: str) -> dict[str, Any]:
    """What the reference answered: the versions of its packages, and the outcomes by conversation."""
    found: dict[str, Any] = json.loads((RECORDED / f"{project}.json").read_text("utf-8"))
    return found
