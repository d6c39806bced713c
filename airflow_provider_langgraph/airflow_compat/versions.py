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

__all__ = ["TaskDeferralError", "TaskDeferralTimeout", "determine_kwargs"]
