"""How many slots each graph may have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GraphShare:
    """Graphs that share a number of slots.

    :param slots: most runs of these graphs at once.
    """

    graphs: frozenset[str]
    slots: int


class GraphShares:
    """The shares of one worker's graphs: one for each graph with a limit, and one for all others together.

    :param slots: of the worker; the graphs without a limit may have them all.
    :param limits: most runs at once, by graph; names of other graphs are ignored.
    """

    def __init__(self, graphs: Collection[str], slots: int, limits: Mapping[str, int]) -> None:
        self.slots = slots
        limited = {name: limit for name, limit in limits.items() if name in graphs}
        self._shares = [GraphShare(frozenset({name}), limit) for name, limit in sorted(limited.items())]
        if unlimited := frozenset(graphs).difference(limited):
            self._shares.append(GraphShare(unlimited, slots))

    def __iter__(self) -> Iterator[GraphShare]:
        return iter(list(self._shares))

    def next_turn(self) -> Iterator[GraphShare]:
        """Every share. Each in turn comes first, so that none takes every slot that becomes free."""
        self._shares.append(self._shares.pop(0))
        return iter(self)
