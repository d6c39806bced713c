"""Names that the supported Airflow versions keep in different places.

Everything else of Airflow that moved comes through ``airflow.providers.common.compat.sdk``.
"""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout
except ImportError:  # 3.1
    from airflow.exceptions import TaskDeferralError, TaskDeferralTimeout  # type: ignore[no-redef]

try:
    from airflow.sdk.bases.decorator import determine_kwargs
except ImportError:  # 3.1; the lowest common-compat does not have it either
    from airflow.utils.operator_helpers import determine_kwargs  # type: ignore[attr-defined]

try:
    from airflow.sdk.exceptions import TaskAwaitingInput
except ImportError:  # before 3.3: there a task that waits for a person is deferred
    TaskAwaitingInput = None  # type: ignore[assignment,misc]

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # before 3.3
    RetryDecision = None  # type: ignore[assignment,misc]
    RetryPolicy = object  # type: ignore[assignment,misc]

__all__ = [
    "RetryDecision",
    "RetryPolicy",
    "TaskAwaitingInput",
    "TaskDeferralError",
    "TaskDeferralTimeout",
    "determine_kwargs",
]
