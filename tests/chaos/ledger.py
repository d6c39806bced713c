"""Reading the ledgers: every node execution that ever began, in whatever process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tests.chaos.fleet import Life


@dataclass(slots=True)
class Execution:
    """One node execution.

    :param name: drawn by the node; it is in the state's ``trail`` if the state came through it.
    :param began, ended: by the wall clock; ``ended`` is None if its process died before.
    :param is_cut: it was cancelled.
    """

    name: str
    pid: int
    node: str
    step: int
    correlation_id: UUID
    logical_run: str
    thread: str
    began: float
    ended: float | None = None
    is_cut: bool = False

    @property
    def place(self) -> tuple[str, int]:
        """What must not be done twice once it is durable: a superstep of a logical run."""
        return self.logical_run, self.step


def read_ledgers(folder: Path) -> list[Execution]:
    """All executions, oldest first."""
    found: dict[str, Execution] = {}
    for path in sorted(folder.glob("*.ledger")):
        pid = int(path.name.partition("-")[0])
        for line in path.read_text().splitlines():
            what, at, name, *facts = line.split("\t")
            if what == "begin":
                node, step, request_id, logical_run, thread = facts
                found[name] = Execution(name, pid, node, int(step), UUID(request_id), logical_run, thread, float(at))
            else:
                found[name].ended = float(at)
                found[name].is_cut = what == "cut"
    return sorted(found.values(), key=lambda one: one.began)


def ends(executions: Sequence[Execution], lives: Sequence[Life]) -> dict[str, float]:
    """By name: when each was over, at the latest when its process died."""
    deaths = {life.pid: life.died_at for life in lives}
    over = {}
    for one in executions:
        died = deaths[one.pid]
        assert died is not None, f"process {one.pid} still lives"
        over[one.name] = died if one.ended is None else one.ended
    return over
