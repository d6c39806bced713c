"""What befalls a graph besides kills: a release that renames a node, a conversation, a row that no database takes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.random_graphs.description import Flow, Graph, names

TAKEN_BY_NONE = "no database takes this"
"""The stores of this suite refuse each row with this text: a request, a result, a model's name, a step's output."""


@dataclass(frozen=True)
class Circumstances:
    """Of one graph.

    :param talks: so many requests, one after the other, on one shared thread.
    :param renamed: a node or flow that later releases have under another name; empty: none.
    :param renamed_since: the first release that has, by its number in its world: each worker's life has its own.
    :param is_refused: no database takes its request.
    """

    talks: int = 1
    renamed: str = ""
    renamed_since: int = 0
    is_refused: bool = False

    def renamed_in(self, life: int) -> str:
        """What has another name in this life; empty: nothing."""
        return self.renamed if life >= self.renamed_since else ""


def draw_circumstances(part: Graph | Flow, seed: int, number: int) -> Circumstances:
    """The same for the same seed and number."""
    draws = random.Random(f"{seed}/{number}/circumstances")
    renames = draws.random() < 0.3
    return Circumstances(
        talks=draws.choice([1, 1, 1, 2, 3]),
        renamed=draws.choice(names(part)) if renames else "",
        renamed_since=draws.randint(1, 4),
        is_refused=draws.random() < 0.04,
    )
