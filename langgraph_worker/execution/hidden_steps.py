"""Steps of nodes that LangGraph leaves out of its streams: those with the tag ``langsmith:hidden``.

No event may set the tag (rule 13), but a project may: what its agent did is recorded all the same.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langgraph.constants import START, TAG_HIDDEN
from langgraph.errors import GraphBubbleUp
from langgraph.pregel import Pregel

from langgraph_worker.execution.step_recorder import StepRecorder

_TASK_TAG = "graph:step:"  # LangGraph gives it to the run of a task, and to nothing inside of it


def has_hidden_nodes(graph: Pregel[Any]) -> bool:
    """Whether nodes of a graph are hidden. Nodes of its subgraphs are if the graph's own config says so."""
    nodes = (node for name, node in graph.nodes.items() if name != START)
    return TAG_HIDDEN in ((graph.config or {}).get("tags") or ()) or any(TAG_HIDDEN in (n.tags or ()) for n in nodes)


class HiddenSteps(BaseCallbackHandler):
    """Tells a recorder of hidden nodes, as the stream would."""

    run_inline = True

    def __init__(self, steps: StepRecorder) -> None:
        self._steps = steps
        self._open: dict[UUID, tuple[tuple[str, ...], str, str]] = {}

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: Any,
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """A node begins, or something that is none."""
        about, marks = metadata or {}, tags or []
        node = about.get("langgraph_node")
        if TAG_HIDDEN not in marks or node in (None, START) or not any(mark.startswith(_TASK_TAG) for mark in marks):
            return
        *namespace, own = str(about.get("langgraph_checkpoint_ns", "")).split("|")
        self._open[run_id] = (tuple(namespace), own.rpartition(":")[2], str(node))
        self._see(run_id, input=inputs, triggers=about.get("langgraph_triggers"), metadata=about)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """It has ended."""
        if run_id in self._open:
            self._see(run_id, result=outputs)
            del self._open[run_id]

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """It failed, or asks a question."""
        if run_id in self._open:
            asks = isinstance(error, GraphBubbleUp)
            self._see(run_id, error=None if asks else error, interrupts=asks, result={})
            del self._open[run_id]

    def _see(self, run_id: UUID, **data: Any) -> None:
        namespace, step_id, node = self._open[run_id]
        self._steps.see(namespace, {"id": step_id, "name": node, **data})
