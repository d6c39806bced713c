"""Random graphs. The same seed and number are the same graph, on every machine."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from tests.random_graphs.circumstances import TAKEN_BY_NONE
from tests.random_graphs.description import (
    Action,
    Ask,
    Call,
    Flow,
    Graph,
    Node,
    Pause,
    Routing,
    Saver,
    Say,
    Spend,
    Step,
    has,
    keeps,
)

KNOWN_FAULTS = frozenset(
    {
        "kept child in a graph without checkpoints",
        "node with an error handler",
    }
)
"""Features that are left out, because they show a fault of LangGraph's own that is not worked around. All names:

- ``child with a saver of its own, called twice``
- ``drain of a careful node's child``
- ``kept child in a graph without checkpoints``: that graph starts anew when its node is lost, and calls the child
  again, which LangGraph lets begin with what it kept of the lost call
  (tests/contract/checkpoints/test_checkpoints_kept_children.py)
- ``node with an error handler``: it runs again (tests/contract/checkpoints/test_checkpoints_error_handlers.py)
- ``node that fails until it is tried again``
"""

_DEPTH = 3  # of graphs in graphs, most
_MOST_NODES = 5


class Generator:
    """Draws one graph."""

    def __init__(self, seed: int, number: int, without: frozenset[str] = KNOWN_FAULTS) -> None:
        self._random = random.Random(f"{seed}/{number}")
        self._without = without
        self._names = 0

    def draw(self) -> Graph | Flow:
        """A graph that a worker can run: its checkpointer is the worker's."""
        return self._flow(1, "inherited", asks=True) if self._chance(0.2) else self._graph(1, "inherited", asks=True)

    # ---- graphs ----

    def _graph(self, depth: int, saver: Saver, *, asks: bool) -> Graph:
        count = self._random.randint(1, _MOST_NODES if depth == 1 else 3)
        name = self._name("g")
        nodes = [self._node(depth, index, count, asks=asks) for index in range(count)]
        nodes = [self._plain(node, count) if self._sends_to_kept(node, nodes) else node for node in nodes]
        targets = {node.to[0] for node in nodes if node.routing.startswith("send")}
        # What is sent to gets an item, not the state: it neither asks where to go nor sends on.
        nodes = [self._plain(node, count) if index in targets else node for index, node in enumerate(nodes)]
        return Graph(name, saver, tuple(nodes))

    def _node(self, depth: int, index: int, count: int, *, asks: bool) -> Node:
        later = list(range(index + 1, count + 1))
        node = Node(self._name("n"), is_async=self._chance(0.6))
        node = self._with_child(node, depth, asks=asks) if self._chance(0.25) and depth < _DEPTH else node
        if node.child is None:
            node = replace(node, actions=self._actions(depth, is_async=node.is_async, asks=asks))
            node = self._with_trouble(node, depth)
        return self._with_targets(node, index, count, later)

    def _with_child(self, node: Node, depth: int, *, asks: bool) -> Node:
        saver: Saver = self._random.choice(["inherited", "inherited", "own", "none"])
        return replace(node, child=self._child(depth, saver, asks=asks, is_async=True))

    def _child(self, depth: int, saver: Saver, *, asks: bool, is_async: bool) -> Graph | Flow:
        # Without a checkpointer of the thread, a question cannot be found again.
        asks = asks and saver in ("inherited", "own")
        child = self._flow if self._chance(0.25) else self._graph
        drawn = child(depth + 1, saver, asks=asks)
        may_keep = saver != "none" or self._may("kept child in a graph without checkpoints")
        return drawn if may_keep else without_kept(drawn)

    def _with_targets(self, node: Node, index: int, count: int, later: list[int]) -> Node:
        kinds: list[Routing] = ["edges", "edges", "edges", "conditional"]
        if node.child is None:
            kinds += ["goto", "goto", "send by command"]
        kind = self._random.choice([*kinds, "send"])
        if kind.startswith("send"):
            inner = [one for one in later if one < count]
            if not inner:
                return replace(node, to=(count,))
            return replace(node, to=(self._random.choice(inner),), routing=kind, fan=self._random.randint(2, 3))
        if kind == "edges":
            most = min(len(later), 1 if self._chance(0.5) else 3)
            return replace(node, to=tuple(sorted(self._random.sample(later, self._random.randint(1, most)))))
        chosen = tuple(sorted(self._random.sample(later, min(len(later), 2))))
        back = self._random.randint(0, index) if kind == "goto" and self._chance(0.4) else None
        return replace(node, to=chosen, routing=kind, back=back)

    @staticmethod
    def _sends_to_kept(node: Node, nodes: list[Node]) -> bool:
        return node.routing.startswith("send") and keeps(nodes[node.to[0]])

    @staticmethod
    def _plain(node: Node, count: int) -> Node:
        return replace(node, to=node.to if node.routing == "edges" else (count,), routing="edges", fan=1, back=None)

    def _with_trouble(self, node: Node, depth: int) -> Node:
        match self._random.randint(0, 11):
            case 0 | 1:
                return replace(node, failures=self._random.randint(1, 2))
            case 2 if self._may("node with an error handler"):
                return replace(node, is_handled=True)
            # Who is asked again after a failure depends on how far the others of the superstep have come.
            case 3 if depth == 1 and not has(node, Ask) and self._may("node that fails until it is tried again"):
                return replace(node, stumbles=True)
        return node

    # ---- what nodes do ----

    def _actions(self, depth: int, *, is_async: bool, asks: bool) -> tuple[Action, ...]:
        actions: list[Action] = []
        for _ in range(self._random.choice([0, 1, 1, 2])):
            match self._random.randint(0, 5):
                case 0 if asks:
                    actions.append(Ask(self._random.choice([1, 1, 2])))
                case 1 | 2 if depth < _DEPTH:
                    actions.append(self._call(depth, is_async=is_async, asks=asks))
                case _:
                    actions.append(self._odd_action() if self._chance(0.05) else Pause(self._random.randint(1, 4)))
        return self._one_owner(tuple(actions))

    def _call(self, depth: int, *, is_async: bool, asks: bool) -> Call:
        savers: list[Saver] = ["inherited", "inherited", "own", "none", "memory"]
        saver = self._random.choice(savers)
        child = self._child(depth, saver, asks=asks, is_async=is_async)
        if not is_async:
            child = _synchronous(child)
        # A child that is kept between calls is one conversation: LangGraph runs it once in a node.
        times = 1 if keeps(child) or has(child, Ask) else self._random.choice([1, 2, 2])
        if saver == "memory" and not self._may("child with a saver of its own, called twice"):
            times = 1
        together = is_async and times > 1 and saver != "memory" and self._chance(0.5)
        careful = self._may("drain of a careful node's child") and self._chance(0.3)
        foreign = saver == "inherited" and self._chance(0.1)
        return Call(child, times, together=together, careful=careful, foreign=foreign)

    def _odd_action(self) -> Action:
        match self._random.randint(0, 2):
            case 0:
                return Say(TAKEN_BY_NONE)
            case 1:
                return Spend(TAKEN_BY_NONE)
        return Spend("m" * 600)

    @staticmethod
    def _one_owner(actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """At most one call of a kept child: several in one node share its checkpoints."""
        kept = [one for one in actions if keeps(one)]
        return tuple(one for one in actions if one not in kept[1:])

    # ---- functional flows ----

    def _flow(self, depth: int, saver: Saver, *, asks: bool) -> Flow:
        is_async = self._chance(0.6)
        steps = [self._step(depth, is_async=is_async, asks=asks) for _ in range(self._random.randint(1, 3))]
        return Flow(self._name("f"), saver, is_async, tuple(steps))

    def _step(self, depth: int, *, is_async: bool, asks: bool) -> Step:
        draw = self._random.random()
        if draw < 0.25 and asks:
            return Step(Ask(self._random.choice([1, 1, 2])))
        if draw < 0.4 and depth < _DEPTH:
            child = self._child(depth, "inherited", asks=asks, is_async=is_async)
            return Step(Call(child if is_async else _synchronous(child)))
        actions: tuple[Action, ...] = (Pause(self._random.randint(1, 3)),) if self._chance(0.5) else ()
        node = Node(self._name("t"), is_async=is_async, actions=actions)
        if self._chance(0.2):
            node = replace(node, failures=1)
        return Step(node, fan=self._random.choice([1, 1, 2, 3]))

    # ---- draws ----

    def _may(self, feature: str) -> bool:
        return feature not in self._without

    def _chance(self, part: float) -> bool:
        return self._random.random() < part

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}"


def without_kept(part: Any) -> Any:
    """The same with children that are not kept between calls."""
    match part:
        case Graph():
            return replace(part, saver=_not_kept(part.saver), nodes=tuple(map(without_kept, part.nodes)))
        case Flow():
            return replace(part, saver=_not_kept(part.saver), steps=tuple(map(without_kept, part.steps)))
        case Step():
            return replace(part, does=without_kept(part.does))
        case Node():
            child = None if part.child is None else without_kept(part.child)
            return replace(part, child=child, actions=tuple(map(without_kept, part.actions)))
        case Call():
            return replace(part, child=without_kept(part.child))
    return part


def _not_kept(saver: Saver) -> Saver:
    return "inherited" if saver == "own" else saver


def _synchronous(part: Any) -> Any:
    """The same without asynchronous code: a synchronous node calls it."""
    match part:
        case Graph():
            return replace(part, nodes=tuple(map(_synchronous, part.nodes)))
        case Flow():
            return replace(part, is_async=False, steps=tuple(map(_synchronous, part.steps)))
        case Step():
            return replace(part, does=_synchronous(part.does))
        case Node():
            child = None if part.child is None else _synchronous(part.child)
            return replace(part, is_async=False, child=child, actions=tuple(map(_synchronous, part.actions)))
        case Call():
            return replace(part, child=_synchronous(part.child), together=False)
    return part
