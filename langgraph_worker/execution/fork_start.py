"""The beginning of a fork: its thread gets the checkpoint of another run that its event names, once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.pregel import Pregel
from langgraph.types import StateSnapshot

from langgraph_worker.checkpoints.forks import copy_state
from langgraph_worker.checkpoints.saver import RunSaver
from langgraph_worker.domain import faults
from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.fork_change import change_state, require_change
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
        newest = await self._newest()
        if newest is None or newest.metadata.get("run_id") != str(self.claim.logical_run):
            await self._copy()
            newest = await self._newest()
        if newest is None:
            raise RunFaultError(faults.CHECKPOINT_GONE, f"{self._named} is not there any more. {_CHOOSE}")
        snapshot = await self.graph.aget_state(config)  # it may be trimmed by now
        if self.claim.event.payload.data != {} and newest.checkpoint["id"] == checkpoint_id:
            require_change(self.claim, self.graph, snapshot)
            await change_state(self.claim, self.graph, config)
        return snapshot._replace(tasks=())  # what is stored with it by now is the fork's own

    async def _copy(self) -> None:
        origin = await self.saver.read_store(lambda connection: fork_origin(connection, self.fork.of))
        if origin is None or origin.thread_id is None or origin.logical_run is None:
            why = "is not known here: it was pruned, or is another fleet's" if origin is None else "never ran"
            raise RunFaultError(faults.CHECKPOINT_GONE, f"field 'fork.of': request {self.fork.of} {why}. {_CHOOSE}")
        self._require_fitting(origin)
        place = (origin.thread_id, self.fork.checkpoint_id, origin.logical_run)
        if not await copy_state(self.saver, self.claim, *place):
            raise RunFaultError(faults.CHECKPOINT_GONE, f"{self._named} is not there. {_CHOOSE}")

    def _require_fitting(self, origin: ForkOrigin) -> None:
        claim = self.claim
        if origin.graph != claim.graph:
            text = (
                f"field 'fork.of': request {self.fork.of} ran graph {origin.graph!r}, and the fork is to run "
                f"{claim.graph!r}. Name the same graph"
            )
            raise RunFaultError(faults.BAD_INPUT, text)
        if (origin.deployment or "") != (claim.event.deployment or ""):
            text = (
                f"field 'fork.deployment': request {self.fork.of} was asked by another Airflow installation. A fork "
                "has the deployment of its origin"
            )
            raise RunFaultError(faults.INPUT_NOT_ALLOWED, text)
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

    async def _newest(self) -> CheckpointTuple | None:
        place: RunnableConfig = {"configurable": {"thread_id": self.claim.thread_id, "checkpoint_ns": ""}}
        return await self.saver.aget_tuple(place)

    @property
    def _named(self) -> str:
        return f"field 'fork.checkpoint_id': checkpoint {self.fork.checkpoint_id!r} of request {self.fork.of}"


_CHOOSE = "Choose one that `langgraph-worker runs checkpoints` lists"
