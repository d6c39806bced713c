"""Makes a graph that breaks a promise smaller, as long as it breaks one under some kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.random_graphs.description import Call, Flow, Graph, Node, Step


def shrink(part: Graph | Flow, is_wrong: Callable[[Graph | Flow], bool], tries: int) -> Graph | Flow:
    """The smallest that was found.

    :param is_wrong: whether a graph breaks a promise too.
    :param tries: most graphs to ask about.
    """
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in smaller(part):
            tries -= 1
            if tries < 0:
                return part
            if is_wrong(candidate):
                part, is_smaller = candidate, True
                break
    return part


def smaller(part: Any) -> Iterator[Any]:
    """Descriptions with something less, those that lose most first."""
    match part:
        case Graph():
            yield from (replace(part, nodes=nodes) for nodes in _fewer_nodes(part.nodes))
            yield from _inside(part, "nodes")
        case Flow():
            yield from (replace(part, steps=part.steps[:i] + part.steps[i + 1 :]) for i in range(len(part.steps)))
            yield from _inside(part, "steps")
        case Step():
            if part.fan > 1:
                yield replace(part, fan=part.fan - 1)
            yield from (replace(part, does=does) for does in smaller(part.does))
        case Node():
            yield from _plainer(part)
            if part.child is not None:
                yield from (replace(part, child=child) for child in smaller(part.child))
            yield from (replace(part, actions=part.actions[:i] + part.actions[i + 1 :]) for i in _each(part.actions))
            yield from _inside(part, "actions")
        case Call():
            if part.times > 1:
                yield replace(part, times=1, together=False)
            if part.together or part.careful or part.foreign:
                yield replace(part, together=False, careful=False, foreign=False)
            yield from (replace(part, child=child) for child in smaller(part.child))


def _each(parts: tuple[Any, ...]) -> range:
    return range(len(parts))


def _plainer(node: Node) -> Iterator[Node]:
    if node.child is not None:
        yield replace(node, child=None)
    if node.failures or node.is_handled or node.stumbles:
        yield replace(node, failures=0, is_handled=False, stumbles=False)
    if node.routing != "edges":
        yield replace(node, routing="edges", fan=1, back=None)
    if node.back is not None:
        yield replace(node, back=None)
    if node.fan > 2:
        yield replace(node, fan=2)
    for index in _each(node.to) if len(node.to) > 1 else ():
        yield replace(node, to=node.to[:index] + node.to[index + 1 :])


def _fewer_nodes(nodes: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    for gone in _each(nodes) if len(nodes) > 1 else ():
        left = nodes[:gone] + nodes[gone + 1 :]
        yield tuple(_without(node, gone, len(left), index) for index, node in enumerate(left))


def _without(node: Node, gone: int, count: int, index: int) -> Node:
    to = tuple(sorted({target - (target > gone) for target in node.to} - set(range(index + 1)))) or (count,)
    back = None if node.back is None else min(node.back - (node.back > gone), index)
    is_send = node.routing.startswith("send") and to[0] < count
    routing = node.routing if is_send or not node.routing.startswith("send") else "edges"
    return replace(node, to=to, routing=routing, back=back, fan=node.fan if is_send else 1)


def _inside(part: Any, field: str) -> Iterator[Any]:
    parts = getattr(part, field)
    for index in _each(parts):
        for one in smaller(parts[index]):
            yield replace(part, **{field: (*parts[:index], one, *parts[index + 1 :])})
