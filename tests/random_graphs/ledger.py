"""What nodes did, outside of the product: a file that every process appends to, and no kill can take back."""

from __future__ import annotations

import itertools
import json
import os
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from langgraph.config import get_config

from langgraph_worker.idempotency import idempotency_key
from tests.random_graphs.description import Saver

_nonces = itertools.count()
_outer: ContextVar[tuple[str, ...]] = ContextVar("outer", default=())
"""LangGraph's ids of the executions that the present code is inside of."""


@dataclass(frozen=True)
class Entry:
    """One line.

    :param kind: ``start``, ``end`` and ``left`` (by an exception) of a node's execution, ``heard`` an answer,
        ``durable`` (the saver's put of an execution's output has returned), ``loss`` (what is under way is lost: by a
        kill, a drain, or the failure of the run), ``woke`` (the process, which stood still, goes on).
    :param key: the execution by the graph's words: node, item and visit. For ``heard`` the question.
    :param own: LangGraph's id of the execution.
    :param ids: the ids that make it last: its own and those around it, but for what lies in a graph that the thread
        does not save.
    :param life: the process.
    :param text: of ``start`` the idempotency key, of ``heard`` the answer.
    """

    case: str
    kind: str
    key: str = ""
    own: str = ""
    ids: tuple[str, ...] = ()
    life: int = 0
    text: str = ""


class Ledger(Protocol):
    """Where entries go."""

    life: int

    def add(self, entry: Entry) -> None: ...


class ListLedger(Ledger):
    """In this process."""

    def __init__(self) -> None:
        self.life = 0
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)


class FileLedger(Ledger):
    """Shared by processes, one line a write."""

    def __init__(self, file: Path, life: int) -> None:
        self.life = life
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, entry: Entry) -> None:
        os.write(self._descriptor, (json.dumps(asdict(entry)) + "\n").encode())


def read(file: Path) -> list[Entry]:
    """All entries, in order."""
    if not file.exists():
        return []
    return [
        Entry(**{**fields, "ids": tuple(fields["ids"])}) for fields in map(json.loads, file.read_text().splitlines())
    ]


@dataclass(frozen=True)
class Place:
    """Where code stands in its case's graphs.

    :param depth: how many graphs are around the graph.
    :param saved: how many executions are around the outermost graph that the thread does not save; None: it saves all.
    """

    case: str
    depth: int = 0
    saved: int | None = None

    def inside(self, saver: Saver) -> Place:
        """In a graph that a node here is, or calls."""
        depth = self.depth + 1
        is_last = self.saved is None and saver in ("none", "memory")
        return replace(self, depth=depth, saved=depth if is_last else self.saved)


class Execution:
    """One execution of a node's code, between its start and its end."""

    def __init__(self, ledger: Ledger, place: Place, key: str, *, quiet: bool = False) -> None:
        config: Any = get_config()
        around = _parts(str(config["metadata"].get("langgraph_checkpoint_ns") or ""))
        outer = _outer.get()
        self.own = around[-1]
        self._ids = (*outer, *(one for one in around[: place.saved] if one and one not in outer))
        _outer.set(self._ids)
        self.key = key
        self.nonce = next(_nonces)
        self._ledger = ledger
        self._case = place.case
        if not quiet:
            self._add("start", text=_idempotency_key(config))

    def heard(self, question: str, answer: Any) -> None:
        """A question of this execution was answered."""
        self._add("heard", str(answer), question)

    def end(self) -> None:
        """It returns now."""
        self._add("end")

    def leave(self) -> None:
        """It raises now, or is cancelled."""
        self._add("left")

    def _add(self, kind: str, text: str = "", key: str | None = None) -> None:
        entry = Entry(self._case, kind, self.key if key is None else key, self.own, self._ids, self._ledger.life, text)
        self._ledger.add(entry)


def _idempotency_key(config: Any) -> str:
    """Empty in a graph on a thread of its own, which has none."""
    is_of_the_run = config["configurable"].get("thread_id") == config["metadata"].get("thread_id")
    return idempotency_key(config) if is_of_the_run else ""


def _parts(namespace: str) -> list[str]:
    """The ids in a namespace, the outermost first; empty for a graph that is kept between calls."""
    parts = [part for part in namespace.split("|") if not part.isdigit()]  # a number: which call of the node it is
    return [part.rpartition(":")[2] if ":" in part else "" for part in parts]
