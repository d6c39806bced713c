"""A run that gives its place back because its next calls of a model have their turns much later."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from langgraph.errors import GraphDrained

from langgraph_worker.domain.model_turns import TurnWait
from langgraph_worker.domain.retry_policy import Retried
from langgraph_worker.errors import WorkerError
from langgraph_worker.execution.run_turns import RunTurns


class WaitsForTurnError(WorkerError):
    """The run goes on from its last checkpoint when its turns come.

    :ivar retried: what is kept with the run, its turns too.
    """

    def __init__(self, wait: TurnWait, retried: Retried) -> None:
        super().__init__(f"its turn to call model {wait.model} comes later; the run continues from its last checkpoint")
        self.wait = wait
        self.retried = retried


def require_turns(turns: RunTurns | None, retried: Callable[[Mapping[str, tuple[int, ...]]], Retried]) -> None:
    """Look whether a call was not made, whatever its node has made of that.

    :param turns: None: no call waits for a turn.
    :param retried: what is kept with a run that keeps these turns.
    :raises StoreError: a turn could not be had.
    :raises WaitsForTurnError: its turn comes much later.
    :raises GraphDrained: the run is to stop.
    """
    if turns is None:
        return
    if turns.trouble is not None:
        raise turns.trouble
    if turns.wait is not None:
        raise WaitsForTurnError(turns.wait, retried(turns.wait.turns))
    if turns.is_drained:
        raise GraphDrained
