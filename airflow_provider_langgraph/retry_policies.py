"""When Airflow retries a task whose agent has failed: a retry policy (AIP-105), for Airflow 3.3 and newer.

::

    LangGraphTriggerOperator(task_id="desk", graph="desk", retries=3, retry_policy=LangGraphRetryPolicy())
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.airflow_compat.versions import RetryDecision, RetryPolicy
from airflow_provider_langgraph.exceptions import LangGraphError, RunError, SettingsError

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["LangGraphRetryPolicy"]


class LangGraphRetryPolicy(RetryPolicy):
    """Retries an agent's task when that can help, and after the wait that the worker names.

    The worker names one if a model's server has asked for it, and where it has repeated the run by itself as often as
    its graph allows. Everything else is the task's own: ``retries`` says how often, ``retry_delay`` how long to wait
    where the worker names nothing, and what does not come from this provider is not judged.

    :param longest: no retry waits longer than this, whatever the worker names.
    :raises SettingsError: this Airflow is older than 3.3.
    """

    def __init__(self, longest: timedelta = timedelta(hours=24)) -> None:
        if RetryPolicy is object:
            raise SettingsError(
                "LangGraphRetryPolicy needs Airflow 3.3 or newer, whose tasks take a retry_policy. Leave it out: a "
                "task whose agent cannot do better is never retried, and the others wait for retry_delay"
            )
        self.longest = longest

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """See Airflow's ``RetryPolicy``."""
        if not isinstance(exception, LangGraphError):
            return RetryDecision.default()
        if not exception.retriable:
            return RetryDecision.fail("running the agent again cannot help")
        wait = exception.retry_after if isinstance(exception, RunError) else None
        if not wait:  # of an earlier worker it may be 0: a date that had passed
            return RetryDecision.default()
        return RetryDecision.retry(min(wait, self.longest), f"the agent's worker asks to wait {wait}")

    def serialize(self) -> dict[str, Any]:
        """As JSON."""
        return {"longest": self.longest.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> LangGraphRetryPolicy:
        """From JSON."""
        return cls(timedelta(seconds=data["longest"]))
