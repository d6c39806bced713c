"""The exception that ends a run with a fault of the worker's own."""

from __future__ import annotations

from langgraph_worker.domain.faults import Fault
from langgraph_worker.errors import WorkerError


class RunFaultError(WorkerError):
    """Ends a run with one of the worker's own faults."""

    def __init__(self, fault: Fault, text: str) -> None:
        self.fault = fault
        super().__init__(text)
