"""What a process that plays a project's conversations is given, and what it leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.reference.cases import Conversation

KILLED = -9
MOST_SECONDS = 30.0
"""A process that lasts longer hangs; its log has the stacks."""


@dataclass(frozen=True)
class Job:
    """One life of a worker.

    :param folder: for its files.
    :param project: where its ``langgraph.json`` lies.
    :param life: from 0; the later ones take over what the earlier left.
    :param dies_at: the progress message at which it is killed; None: it is not.
    """

    folder: Path
    project: Path
    url: str
    conversations: tuple[Conversation, ...]
    life: int = 0
    dies_at: int | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"life-{self.life}.log"

    @property
    def outcomes(self) -> Path:
        return self.folder / f"life-{self.life}.json"

    def read(self) -> dict[str, list[dict[str, Any]]]:
        """The outcomes by conversation; empty if it left none."""
        return json.loads(self.outcomes.read_text()) if self.outcomes.exists() else {}
