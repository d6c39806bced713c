"""What a random graph is, as plain data: it can be printed, sent to another process, and made smaller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

Saver = Literal["inherited", "own", "none", "memory"]
"""A child's checkpointer: the caller's (None), one that is kept between calls (True), none (False), or a saver of the
child's own, under a thread id of its own.
"""
Routing = Literal["edges", "conditional", "goto", "send", "send by command"]


@dataclass(frozen=True)
class Pause:
    """Give the others a turn, so many times."""

    times: int


@dataclass(frozen=True)
class Ask:
    """Ask a person, one question after the other."""

    questions: int


@dataclass(frozen=True)
class Call:
    """Run a graph inside of a node.

    :param times: how often.
    :param together: at the same time; only of an asynchronous node.
    :param careful: the node catches what the graph raises, and goes on.
    :param foreign: the node replaces the thread's id in its own config, and passes that on.
    """

    child: Graph | Flow
    times: int = 1
    together: bool = False
    careful: bool = False
    foreign: bool = False


@dataclass(frozen=True)
class Say:
    """Put a text into the graph's state, and so into its result."""

    text: str


@dataclass(frozen=True)
class Spend:
    """Call a model of this name."""

    model: str


Action = Pause | Ask | Call | Say | Spend


@dataclass(frozen=True)
class Node:
    """One node, or one task of a flow.

    :param actions: what it does, in order.
    :param child: the node is this graph; it has no actions then.
    :param to: indexes of the nodes that follow; the number of nodes is the end.
    :param routing: how they are chosen: all of them; ``conditional`` and ``goto`` choose one by the state; ``send``
        gives the one target ``fan`` items to work on.
    :param back: goes back to this index on its first visit; only with ``goto``.
    :param failures: so often it fails before it passes, under a retry policy of LangGraph's.
    :param is_handled: it always fails, and has an error handler.
    :param stumbles: it fails until its task in Airflow is tried again.
    """

    name: str
    is_async: bool = True
    actions: tuple[Action, ...] = ()
    child: Graph | Flow | None = None
    to: tuple[int, ...] = ()
    routing: Routing = "edges"
    fan: int = 1
    back: int | None = None
    failures: int = 0
    is_handled: bool = False
    stumbles: bool = False


@dataclass(frozen=True)
class Graph:
    """A ``StateGraph``; it starts at its first node."""

    name: str
    saver: Saver
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Step:
    """A step of a functional flow: a question, a call, or a task that is started ``fan`` times and awaited."""

    does: Ask | Call | Node
    fan: int = 1


@dataclass(frozen=True)
class Flow:
    """An ``@entrypoint`` with its tasks."""

    name: str
    saver: Saver
    is_async: bool
    steps: tuple[Step, ...]


def walk(part: object) -> Iterator[object]:
    """A description and everything inside of it."""
    yield part
    inner: tuple[object, ...] = ()
    match part:
        case Graph():
            inner = part.nodes
        case Flow():
            inner = part.steps
        case Step():
            inner = (part.does,)
        case Node():
            inner = (*part.actions, *([part.child] if part.child else []))
        case Call():
            inner = (part.child,)
    for one in inner:
        yield from walk(one)


def has(part: object, kind: type) -> bool:
    """Whether a description contains such a part."""
    return any(isinstance(one, kind) for one in walk(part))


def keeps(part: object) -> bool:
    """Whether a child in it keeps its state between calls: it must not run beside itself."""
    return any(isinstance(one, Graph | Flow) and one.saver == "own" for one in walk(part))


def names(part: object) -> list[str]:
    """The names in it that a worker can miss: of nodes, and of flows that are nodes or the whole."""
    unseen = {id(one.does) for one in walk(part) if isinstance(one, Step)}
    unseen |= {id(one.child) for one in walk(part) if isinstance(one, Call)}
    return [one.name for one in walk(part) if isinstance(one, Node | Flow) and id(one) not in unseen]


def show(part: Any, indent: str = "") -> str:
    """A description as Python, a node a line, without what is as usual."""
    if isinstance(part, tuple):
        if not any(isinstance(one, (Node, Step)) for one in part):
            return f"({', '.join(show(one, indent) for one in part)}{',' if len(part) == 1 else ''})"
        deeper = f"{indent}    "
        return "(\n" + "".join(f"{deeper}{show(one, deeper)},\n" for one in part) + f"{indent})"
    if not is_dataclass(part):
        return repr(part)
    said = []
    for one in fields(part):
        value = getattr(part, one.name)
        if value != one.default:
            said.append(f"{one.name}={show(value, indent)}")
    return f"{type(part).__name__}({', '.join(said)})"
