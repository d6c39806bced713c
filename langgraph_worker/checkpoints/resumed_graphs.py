"""Whether a graph goes on with all that it had left, when its run is resumed (rule 11).

The nodes of a child graph that a node builds, or takes from a container, are not known before it runs. But its
checkpoint names those that are next: by an edge, by a ``Send``, or when all the nodes of a join have ended. So do the
stored outputs of a superstep that has not ended. LangGraph leaves out what leads to a node that the deployed graph
lacks, without an error. So it does with joins for which some nodes have ended, in the run's own graph too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.callbacks import GraphCallbackHandler, GraphResumeEvent
from langgraph.checkpoint.base import Checkpoint, PendingWrite
from langgraph.constants import START, TASKS
from langgraph.types import Send

from langgraph_worker.errors import WorkerError

_TRIGGER = "branch:to:"  # the channels by which a StateGraph starts its nodes
_JOIN = "join:"  # the channels of its edges from several nodes: join:a+b:c
_SEPARATOR, _ID = "|", ":"  # of LangGraph's namespaces: desk:<task id>|buy:<task id>


class GraphChangedError(WorkerError):
    """A graph lacks nodes or edges that it needs to go on with what it had left.

    :ivar gone: what it lacks, as words, with the way to each node: "the node 'desk|buy'".
    """

    def __init__(self, gone: Collection[str]) -> None:
        self.gone = sorted(gone)
        super().__init__(f"{', '.join(self.gone)} would be skipped")


@dataclass(frozen=True)
class _Left:
    """What a graph had left when it wrote a checkpoint, and the outputs that are stored with it.

    :param next: the nodes that its edges have started, each with the version of its trigger.
    :param led_to: the triggers that stored outputs write, each with its version before; None: it had none.
    :param sent: the nodes that were sent something, and are next.
    :param sent_by_outputs: the nodes that stored outputs send something.
    :param joins: the channels of joins for which some nodes have ended.
    :param ready: those of them for which all have.
    :param has_outputs: some nodes of the superstep are done.
    """

    next: Mapping[str, Any] = field(default_factory=dict)
    led_to: Mapping[str, Any] = field(default_factory=dict)
    sent: frozenset[str] = frozenset()
    sent_by_outputs: frozenset[str] = frozenset()
    joins: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    has_outputs: bool = False

    @classmethod
    def of(cls, checkpoint: Checkpoint, outputs: Sequence[PendingWrite]) -> _Left:
        """What a checkpoint says, and the outputs that are stored with it."""
        values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
        written = {channel for _, channel, _ in outputs}
        joins = {name: _ended(value) for name, value in values.items() if name.startswith(_JOIN) and _ended(value)}
        return cls(
            next=_next_nodes(checkpoint),
            led_to={channel: versions.get(channel) for channel in written if channel.startswith(_TRIGGER)},
            sent=_receivers(values.get(TASKS) or ()),
            sent_by_outputs=_receivers(value for _, channel, value in outputs if channel == TASKS),
            joins=frozenset(joins) | {channel for channel in written if channel.startswith(_JOIN)},
            ready=frozenset(name for name, ended in joins.items() if len("+".join(ended)) == len(_sources(name))),
            has_outputs=bool(written),
        )

    def nodes(self, namespace: str) -> list[str]:
        """The nodes that are next, as words."""
        return [_node(namespace, name) for name in {*self.next, *self.sent, *map(_target, self.ready)}]

    def gone(self, namespace: str, after: Checkpoint, started: Collection[str]) -> list[str]:
        """What the graph lacks that wrote this checkpoint at the superstep's end, as words.

        :param started: the nodes that have run in it.
        """
        seen, versions = after["versions_seen"], after["channel_versions"]
        skipped = {name for name, version in self.next.items() if not _has_seen(seen.get(name, {}), name, version)}
        skipped |= {
            channel.removeprefix(_TRIGGER) for channel, at in self.led_to.items() if versions.get(channel) == at
        }
        # One that was sent something may be done already; then the superstep's end notes that it has seen it.
        skipped |= {name for name in self.sent.difference(started) if not (self.has_outputs and name in seen)}
        lost = self.joins - after["channel_values"].keys()
        return [_node(namespace, name) for name in skipped] + [_edge(namespace, name) for name in lost]


def next_nodes(checkpoint: Checkpoint) -> frozenset[str]:
    """The nodes that run behind a checkpoint, as far as it names them; ``__start__`` reads the graph's input."""
    left, values = _Left.of(checkpoint, ()), checkpoint["channel_values"]
    started = {START} & values.keys()
    # A deferred node waits until no other is left: its trigger has a value from when it is set until it has run.
    deferred = {name.removeprefix(_TRIGGER) for name, value in values.items() if name.startswith(_TRIGGER) and value}
    deferred |= {_target(name) for name, value in values.items() if name.startswith(_JOIN) and _is_deferred(value)}
    return frozenset({*started, *left.next, *left.sent, *map(_target, left.ready), *deferred})


def _is_deferred(barrier: Any) -> bool:
    """Whether all nodes have ended for which a join to a deferred node waits: that has a pair."""
    return isinstance(barrier, list | tuple) and len(barrier) == 2 and bool(barrier[0])


class ResumedGraphs(GraphCallbackHandler):
    """Follows the graphs inside of one run's nodes: by the checkpoints that they read and write, and as a callback.

    LangGraph calls it from its own tasks, and from the threads of synchronous nodes.
    """

    run_inline = True

    def __init__(self) -> None:
        self._left: dict[str, _Left] = {}  # by namespace
        self._resumed: set[str] = set()
        self._started: dict[str, set[str]] = {}  # by namespace: the nodes
        self._callers: dict[str, str | None] = {}  # by namespace, of those that have read and not written yet
        self._shared: set[str] = set()  # namespaces in which several calls are under way: nothing tells them apart

    def read(
        self,
        namespace: str,
        checkpoint: Checkpoint,
        outputs: Sequence[PendingWrite] = (),
        caller: str | None = None,
    ) -> None:
        """A graph, or a node that only looks, has read this checkpoint.

        :param outputs: what is stored with it of a superstep that has not ended.
        :param caller: the task that has called the graph; None: it is the run's own.
        """
        if namespace in self._left and self._callers.get(namespace) != caller:
            self._shared.add(namespace)
            self._left.pop(namespace)
            self._resumed.discard(namespace)
        if namespace in self._shared:
            return
        self._callers[namespace] = caller
        left = _Left.of(checkpoint, outputs)
        # The nodes of the run's own graph are compared by their names, before it goes on.
        self._follow(namespace, left if namespace else _Left(joins=left.joins))
        self._resumed.discard(namespace)

    def on_resume(self, event: GraphResumeEvent) -> None:
        """A graph goes on from what it has read."""
        namespace = _SEPARATOR.join(event.checkpoint_ns)
        if self._left.get(namespace, _Left()) != _Left():
            self._resumed.add(namespace)

    def on_chain_start(self, *_: Any, metadata: dict[str, Any] | None = None, **__: Any) -> None:
        """A node starts, or something within one."""
        graph, _separator, node = str((metadata or {}).get("langgraph_checkpoint_ns") or "").rpartition(_SEPARATOR)
        self._started.setdefault(graph, set()).add(node.partition(_ID)[0])

    def check_checkpoint(self, namespace: str, checkpoint: Checkpoint) -> None:
        """Before a graph's superstep is kept: each node that was next has run in it, and each join is still there.

        :raises GraphChangedError: some are gone.
        """
        left = self._left.pop(namespace, _Left())
        if namespace not in self._resumed:
            return
        self._resumed.discard(namespace)
        gone = left.gone(namespace, checkpoint, self._started.get(namespace, ()))
        if gone:
            raise GraphChangedError(gone)
        if left.sent_by_outputs:
            self._follow(namespace, _Left(sent=left.sent_by_outputs))
            self._resumed.add(namespace)

    def check_writes(self, namespace: str, task_id: str, task_path: str) -> None:
        """Before a node's output is kept: no graph in it ended without a step.

        :raises GraphChangedError: all that was next is gone.
        """
        for child in [one for one in tuple(self._resumed) if one not in self._started]:
            outer, node = _node_of(child)
            is_its_node = (
                (outer, node.partition(_ID)[2]) == (namespace, task_id)
                if _ID in node
                # One with a history of its own: its namespace has no ids.
                else outer == _without_ids(namespace) and task_path.endswith(f", {node}")
            )
            gone = self._left[child].nodes(child) if is_its_node else []
            if gone:
                raise GraphChangedError(gone)

    def _follow(self, namespace: str, left: _Left) -> None:
        self._left[namespace] = left
        self._started.pop(namespace, None)


def _receivers(sent: Iterable[Any]) -> frozenset[str]:
    return frozenset(one.node for one in sent if isinstance(one, Send))


def _ended(barrier: Any) -> Collection[str]:
    """The nodes for which a join waits no more. That of a deferred node has a pair."""
    seen = barrier[0] if isinstance(barrier, list | tuple) and barrier else barrier
    return seen if isinstance(seen, set) else ()


def _sources(join: str) -> str:
    return join.removeprefix(_JOIN).rpartition(":")[0]


def _target(join: str) -> str:
    return join.rpartition(":")[2]


def _next_nodes(checkpoint: Checkpoint) -> dict[str, Any]:
    seen = checkpoint["versions_seen"]
    # An empty trigger has no value. That of a deferred node, which may have to wait, has another than None.
    triggers = {
        channel.removeprefix(_TRIGGER): checkpoint["channel_versions"][channel]
        for channel, value in checkpoint["channel_values"].items()
        if channel.startswith(_TRIGGER) and value is None
    }
    return {name: at for name, at in triggers.items() if not _has_seen(seen.get(name, {}), name, at)}


def _has_seen(seen: Mapping[str, Any], name: str, version: Any) -> bool:
    at = seen.get(_TRIGGER + name)
    return at is not None and at >= version


def _node_of(namespace: str) -> tuple[str, str]:
    """The namespace of the graph around a graph, and the node in it. Further graphs of one node are numbered."""
    parts = namespace.split(_SEPARATOR)
    if parts[-1].isdigit():
        parts.pop()
    return _SEPARATOR.join(parts[:-1]), parts[-1]


def _without_ids(namespace: str) -> str:
    return _SEPARATOR.join(part.partition(_ID)[0] for part in namespace.split(_SEPARATOR))


def _way(namespace: str, name: str) -> str:
    outer = [part.partition(_ID)[0] for part in namespace.split(_SEPARATOR) if part and not part.isdigit()]
    return _SEPARATOR.join([*outer, name])


def _node(namespace: str, name: str) -> str:
    return f"the node {_way(namespace, name)!r}"


def _edge(namespace: str, join: str) -> str:
    return f"the edge from {_sources(join)!r} to {_way(namespace, _target(join))!r}"
