"""The long-term memory of graphs, as the run store counts it: whose it is, and how much it may hold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class MemoryName:
    """One memory: of one graph, for one deployment.

    :param deployment: an Airflow installation; plain requests are of ``""``.
    """

    deployment: str
    graph: str

    @property
    def label(self) -> str:
        """The first label of every namespace of this memory, as stored.

        A digest: LangGraph allows no period, no NUL and no empty text in a label, but the two names may hold them. No
        two memories have the same one.
        """
        names = json.dumps([self.deployment, self.graph])
        return "m" + hashlib.sha256(names.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """What the memories of one run store may hold.

    :param max_items: of all memories together.
    :param max_bytes: of all memories together: the values as JSON, with their namespaces and keys.
    :param max_item_bytes: of one item's value as JSON.
    """

    max_items: int = 100_000
    max_bytes: int = 268_435_456
    max_item_bytes: int = 1_048_576
