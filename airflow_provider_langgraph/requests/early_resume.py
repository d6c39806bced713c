"""How long an early reply is held back: Airflow fails a task that is resumed too soon (apache/airflow#71580)."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import conf

from airflow_provider_langgraph.airflow_compat.single_process import is_dags_test

SCHEDULER_MARGIN = timedelta(seconds=5)
"""The time that a busy scheduler may need to notice that a task's first part ended: a few of its loops."""


LONGEST_HOLD = timedelta(seconds=60)
"""The longest time that a trigger holds a reply, even if the clocks of two hosts differ by more."""


def earliest_resume(now: datetime) -> datetime:
    """The earliest time at which a task that defers now may be resumed: now, in ``airflow dags test``.

    Airflow fails a task whose second part is queued before the scheduler has noticed that its first part ended:
    "finished with state success, but the task instance's state attribute is queued" (apache/airflow#71580, open). The
    scheduler may notice it late. The task's supervisor sees that the process has finished either at once or
    ``[workers] min_heartbeat_interval`` seconds later (measured on 3.3.2: 14 of 43 parts took 5.0 s longer). The
    scheduler sees it in its next loop.
    """
    if is_dags_test():  # no scheduler is there
        return now
    return now + timedelta(seconds=conf.getint("workers", "min_heartbeat_interval", fallback=5)) + SCHEDULER_MARGIN
