"""Stops a call of a model for which its run has no budget, before it is sent."""

from __future__ import annotations

from typing import Any

from langgraph_worker.execution.run_meter import BudgetExceededError, RunMeter
from langgraph_worker.telemetry.usage import CalledModel, ModelCallHandler


class BudgetGuard(ModelCallHandler):
    """LangChain calls it before each call of a model, and passes on what it raises."""

    raise_error = True

    def __init__(self, meter: RunMeter) -> None:
        self._meter = meter
        # Inline is in the event loop, which may not wait for the store.
        self.run_inline = meter.shared is None

    def on_chat_model_start(self, serialized: Any, messages: Any, *, metadata: Any = None, **rest: Any) -> None:
        """:raises BudgetExceededError: the run has no budget for the call."""
        self._require(CalledModel.from_start(serialized, metadata, rest), metadata)

    def on_llm_start(self, serialized: Any, prompts: Any, *, metadata: Any = None, **rest: Any) -> None:
        """:raises BudgetExceededError: the run has no budget for the call."""
        self._require(CalledModel.from_start(serialized, metadata, rest), metadata)

    def _require(self, model: CalledModel, metadata: Any) -> None:
        try:
            self._meter.require_call(model)
        except BudgetExceededError:
            # "node:task|node of a graph inside of it:its task"
            namespace = str((metadata or {}).get("langgraph_checkpoint_ns") or "")
            self._meter.refused_tasks |= {part.rpartition(":")[2] for part in namespace.split("|") if part}
            raise

    def close(self) -> None:
        """The run is over: none of its calls waits for the store any more."""
        if self._meter.shared is not None:
            self._meter.shared.close()
