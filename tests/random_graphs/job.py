"""What one worker's life is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.random_graphs.description import Flow, Graph
from workflow_events.models import WorkflowEvent

Kind = Literal["before", "inside", "after", "unheard", "drain", "freeze before", "freeze inside"]
"""At a durable write: the process is killed before it, within it, or after it; or it is committed and the answer to
the COMMIT is lost; or the worker is asked to stop; or the process stands still before it, or within it, until others
have done all its work.
"""
KILLS: frozenset[Kind] = frozenset({"before", "inside", "after"})
FREEZES: frozenset[Kind] = frozenset({"freeze before", "freeze inside"})
MOST_SECONDS = 30.0
"""A life that lasts longer hangs; its log has the stacks."""


@dataclass(frozen=True)
class Trap:
    """What happens at the n-th transaction that writes, counted from when the worker is ready."""

    kind: Kind
    nth: int


@dataclass(frozen=True)
class Job:
    """One life.

    :param life: its number in its world, from 0.
    :param graphs: by the name of their case, which is also the name that events use.
    :param requests: what is to be answered, as Kafka delivers it to every owner of the partition.
    :param retries: by the id of a request, what Airflow sends when it has failed.
    :param tries: which try of its task each case is at.
    :param traps: in the order of their transactions.
    :param renamed: by case, what this release has under another name.
    :param keep_checkpoints: as the worker's setting; 0 keeps all.
    :param prunes: runs and checkpoints that nobody needs are removed, once the requests are taken in.
    """

    folder: Path
    url: str
    life: int
    graphs: Mapping[str, Graph | Flow]
    requests: Mapping[str, WorkflowEvent]
    retries: Mapping[str, WorkflowEvent]
    tries: Mapping[str, int]
    traps: Sequence[Trap] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    keep_checkpoints: int = 0
    prunes: bool = False

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def log(self) -> Path:
        return self.folder / f"life-{self.life}.log"
