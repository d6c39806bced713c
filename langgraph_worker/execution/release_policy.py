"""What happens to a run that another release of the project began (rule 11)."""

from __future__ import annotations

from langgraph_worker.domain import faults
from langgraph_worker.domain.models import Claim
from langgraph_worker.errors import WorkerError
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.graphs.graph_spec import OnNewRelease


class StartOverError(WorkerError):
    """The run must start over: the store gives it a new logical run, and it is claimed again."""


def start_over_if_other_release(claim: Claim, policy: OnNewRelease) -> None:
    """Let no run go on that another release began, if its graph's entry says ``restart``.

    Call it before the run's checkpoints are read: they may name what this release does not have.

    :raises StartOverError: another release began the run. A run whose release is not known goes on.
    :raises RunFaultError: ``interrupt_not_pending``: the request answers a question of another release. An answer has
        no input to start over from.
    """
    if policy != "restart" or not _is_of_other_release(claim):
        return
    if claim.event.answers:
        text = f"{_reason(claim, policy)}: what that one asked is asked no more. Clear its task: it starts over"
        raise RunFaultError(faults.INTERRUPT_NOT_PENDING, text)
    raise StartOverError(_reason(claim, policy))


def require_same_release(claim: Claim, policy: OnNewRelease) -> None:
    """Let a run go on that has checkpoints: after a crash, a retry, or with an answer.

    :param policy: of its graph. ``resume``: the code of another release may go on with it if it has the run's nodes.
    :raises RunFaultError: ``graph_changed``: the policy is ``fail``, and another release began the run. A run whose
        release is not known goes on.
    """
    if policy == "fail" and _is_of_other_release(claim):
        advice = "Deploy that release again, or clear the task with on_clear='restart' to start over"
        raise RunFaultError(faults.GRAPH_CHANGED, f"{_reason(claim, policy)}. {advice}")


def _is_of_other_release(claim: Claim) -> bool:
    return claim.begun_by is not None and claim.begun_by != claim.release


def _reason(claim: Claim, policy: OnNewRelease) -> str:
    return (
        f"release {claim.begun_by!r} began the run, this worker has {claim.release!r}, and graph {claim.graph!r} has "
        f"'on_new_release': {policy!r}"
    )
