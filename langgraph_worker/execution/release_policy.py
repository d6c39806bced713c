"""What happens to a run that another release of the project began (rule 11)."""

from __future__ import annotations

from langgraph_worker.domain import faults
from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.graphs.graph_spec import OnNewRelease


def require_same_release(claim: Claim, policy: OnNewRelease) -> None:
    """Let a run go on that has checkpoints: after a crash, a retry, or with an answer.

    :param policy: of its graph. ``resume``: the code of another release may go on with it if it has the run's nodes.
    :raises RunFaultError: ``graph_changed``: the policy is ``fail``, and another release began the run. A run whose
        release is not known goes on.
    """
    if policy == "resume" or claim.begun_by is None or claim.begun_by == claim.release:
        return
    raise RunFaultError(
        faults.GRAPH_CHANGED,
        f"release {claim.begun_by!r} began the run, this worker has {claim.release!r}, and graph {claim.graph!r} has "
        "'on_new_release': 'fail'. Deploy that release again, or clear the task with on_clear='restart' to start over",
    )
