"""What is somewhere else, or missing, in some of the Airflow versions that we support. The only place that tells them
apart; everything else comes through ``airflow.providers.common.compat.sdk``.
"""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout
except ImportError:  # 3.1
    from airflow.exceptions import TaskDeferralError, TaskDeferralTimeout  # type: ignore[no-redef]

__all__ = ["TaskDeferralError", "TaskDeferralTimeout"]
