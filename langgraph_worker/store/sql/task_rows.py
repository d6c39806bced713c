"""The newest attempt of each task: the rows that decide which attempt is late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from langgraph_worker.store.migrations.schema import tasks
from langgraph_worker.store.sql.rows import TaskRow
from langgraph_worker.store.sql.statements import insert_missing
from workflow_events.models import Attempt


def lock_tasks(connection: Connection, first: Mapping[str, Attempt], now: datetime) -> tuple[list[TaskRow], set[str]]:
    """Lock tasks: return the rows of those that were seen before, and the keys of the others, which now have a row.

    Sorted, here and wherever tasks are locked: two transactions with common tasks wait for each other, but never both.

    :param first: by task, the attempt to make a row of where there is none.
    """
    if not first:
        return [], set()
    # A row of its own for each unknown task, before its attempts are compared: two workers that get the first two
    # attempts of a task at the same moment must not both find none.
    rows = [TaskRow.from_attempt(first[task], now).parameters() for task in sorted(first)]
    made = connection.execute(insert_missing(connection, tasks).returning(tasks.c.task), rows)
    new = set(made.scalars())
    locked = select(tasks).where(tasks.c.task.in_(sorted(first))).order_by(tasks.c.task).with_for_update()
    return [row for row in TaskRow.read(connection.execute(locked)) if row.task not in new], new
