"""The beginning of a fork: its thread gets the checkpoint of another run that its event names, once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import InvalidUpdateError
from langgraph.pregel import Pregel
from langgraph.types import StateSnapshot

from langgraph_worker.checkpoints.forks import copy_state
from langgraph_worker.checkpoints.saver import RunSaver
from langgraph_worker.domain import faults
from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.execution.thread_position import graph_changed
from langgraph_worker.graphs.graph_spec import OnNewRelease
from langgraph_worker.graphs.node_names import missing_names
from langgraph_worker.store.sql.fork_origins import ForkOrigin, fork_origin
from workflow_events.models import Fork


@dataclass(frozen=True, slots=True)
class ForkStart:
    """What a fork needs to begin.

    :param graph: with the run's saver.
    :param nodes: its names, as :func:`~langgraph_worker.graphs.node_names.node_names` gives them.
    :param policy: of its graph's entry.
    """

    claim: Claim
    saver: RunSaver
    graph: Pregel[Any]
    nodes: Collection[str]
    policy: OnNewRelease

    @property
    def fork(self) -> Fork:
        """Which checkpoint it begins with."""
        assert self.claim.event.fork is not None
        return self.claim.event.fork

    async def begin(self, config: RunnableConfig) -> StateSnapshot:
        """Give the fork's thread its first checkpoint, unless it has it, and change the state as the event says.

        Both are durable when this returns. A start after a crash does what is missing.

        :returns: the checkpoint: what is in its state was there before the fork.
        :raises RunFaultError: ``checkpoint_gone``, ``graph_changed`` or ``bad_input``.
        :raises StoreError: the database failed.
        """
        checkpoint_id = self.fork.checkpoint_id
        place = {"checkpoint_ns": "", "checkpoint_id": checkpoint_id}
        config = {**config, "configurable": {**config["configurable"], **place}}
        if await self.saver.aget_tuple(config) is None:
            await self._copy()
        snapshot = await self.graph.aget_state(config)
        if snapshot.metadata is None:
            raise RunFaultError(faults.CHECKPOINT_GONE, f"{self._named} is not there any more. {_CHOOSE}")
        if self.claim.event.payload.data != {} and await self._newest_id() == checkpoint_id:
            await self._change_state(config)
        return snapshot._replace(tasks=())  # what is stored with it by now is the fork's own

    async def _copy(self) -> None:
        origin = await self.saver.read_store(lambda connection: fork_origin(connection, self.fork.of))
        if origin is None or origin.thread_id is None:
            why = "is not known here: it was pruned, or is another fleet's" if origin is None else "never ran"
            raise RunFaultError(faults.CHECKPOINT_GONE, f"field 'fork.of': request {self.fork.of} {why}. {_CHOOSE}")
        self._require_fitting(origin)
        if not await copy_state(self.saver, self.claim, origin.thread_id, self.fork.checkpoint_id):
            raise RunFaultError(faults.CHECKPOINT_GONE, f"{self._named} is not there. {_CHOOSE}")

    def _require_fitting(self, origin: ForkOrigin) -> None:
        claim = self.claim
        if origin.graph != claim.graph:
            text = (
                f"field 'fork.of': request {self.fork.of} ran graph {origin.graph!r}, and the fork is to run "
                f"{claim.graph!r}. Name the same graph"
            )
            raise RunFaultError(faults.BAD_INPUT, text)
        gone = missing_names(origin.nodes or (), self.nodes)
        if gone:
            text = graph_changed(claim.graph, [f"the node {name!r}" for name in gone])
            raise RunFaultError(faults.GRAPH_CHANGED, text)
        if self.policy != "resume" and origin.release is not None and origin.release != claim.release:
            text = (
                f"release {origin.release!r} wrote the checkpoint, this worker has {claim.release!r}, and graph "
                f"{claim.graph!r} has 'on_new_release': {self.policy!r}. Deploy that release again, or send the input "
                "anew"
            )
            raise RunFaultError(faults.GRAPH_CHANGED, text)

    async def _change_state(self, config: RunnableConfig) -> None:
        try:
            await self.graph.aupdate_state(config, self.claim.event.payload.data, self.fork.as_node)
        except InvalidUpdateError as error:
            text = (
                f"fields 'payload.data' and 'fork.as_node' ({self.fork.as_node!r}): the graph does not take this "
                f"change of its state: {error}. Its nodes are {', '.join(sorted(self.graph.nodes))}"
            )
            raise RunFaultError(faults.BAD_INPUT, text) from error

    async def _newest_id(self) -> str | None:
        found = await self.saver.aget_tuple({"configurable": {"thread_id": self.claim.thread_id, "checkpoint_ns": ""}})
        return None if found is None else found.checkpoint["id"]

    @property
    def _named(self) -> str:
        return f"field 'fork.checkpoint_id': checkpoint {self.fork.checkpoint_id!r} of request {self.fork.of}"


_CHOOSE = "Choose one that `langgraph-worker runs checkpoints` lists"
