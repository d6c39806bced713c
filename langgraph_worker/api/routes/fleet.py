"""The fleet as a whole: its graphs, its workers, what is paused."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from langgraph_worker.api.parts import Asker, Parts
from workflow_events.control import PauseScope

router = APIRouter(tags=["fleet"])

_GRAPHS_WITHIN_SECONDS = 24 * 3600.0
_ALIVE_WITHIN_SECONDS = 180.0


class FleetGraph(BaseModel):
    """A graph that workers have announced in the last day."""

    name: str
    description: str
    workers: int = Field(description="how many that are alive serve it")


class GraphList(BaseModel):
    """The graphs, by name."""

    graphs: list[FleetGraph]


class FleetWorker(BaseModel):
    """A worker that has shown a sign of life in the last three minutes."""

    worker_id: str
    version: str
    graphs: list[str]


class WorkerList(BaseModel):
    """The workers, by id."""

    workers: list[FleetWorker]


class FleetPause(BaseModel):
    """What is held back."""

    model_config = ConfigDict(from_attributes=True)

    scope: PauseScope
    name: str = Field(description="of the graph or the workflow; empty for the fleet")
    reason: str
    requested_by: str | None
    changed_at: datetime
    at_once: bool


class PauseList(BaseModel):
    """The pauses, the widest first."""

    pauses: list[FleetPause]


@router.get("/graphs", operation_id="list_graphs")
async def list_graphs(asker: Asker, parts: Parts) -> GraphList:
    """The graphs that the fleet's workers have announced in the last day."""
    alive = {worker.worker_id for worker in await parts.store.workers(_ALIVE_WITHIN_SECONDS)}
    found: dict[str, FleetGraph] = {}
    for worker in await parts.store.workers(_GRAPHS_WITHIN_SECONDS):
        for name, description in worker.graphs.items():
            if asker.scope.includes_graph(name):
                graph = found.setdefault(name, FleetGraph(name=name, description=description, workers=0))
                graph.workers += worker.worker_id in alive
    return GraphList(graphs=sorted(found.values(), key=lambda graph: graph.name))


@router.get("/workers", operation_id="list_workers")
async def list_workers(asker: Asker, parts: Parts) -> WorkerList:
    """The workers that are alive, with the graphs that this token may see."""
    alive = await parts.store.workers(_ALIVE_WITHIN_SECONDS)
    return WorkerList(
        workers=[
            FleetWorker(
                worker_id=worker.worker_id,
                version=worker.version,
                graphs=sorted(name for name in worker.graphs if asker.scope.includes_graph(name)),
            )
            for worker in alive
        ]
    )


@router.get("/pauses", operation_id="list_pauses")
async def list_pauses(asker: Asker, parts: Parts) -> PauseList:
    """What is paused now. A token of some graphs sees the pauses of the fleet, and of those graphs."""
    pauses = [
        pause
        for pause in await parts.store.pauses()
        if pause.scope is PauseScope.FLEET
        or asker.scope.is_all
        or (pause.scope is PauseScope.GRAPH and asker.scope.includes_graph(pause.name))
    ]
    return PauseList(pauses=[FleetPause.model_validate(pause) for pause in pauses])
