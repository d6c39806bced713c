"""The newest attempt of each task: the rows that decide who is late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from langgraph_worker.attempts import Seen
from langgraph_worker.store.schema import tasks
from langgraph_worker.store.statements import Row, insert_missing
from workflow_events.models import Attempt


def lock_tasks(connection: Connection, first: Mapping[str, Attempt], now: datetime) -> tuple[list[Row], set[str]]:
    """Lock tasks: the rows of those that were seen before, and the keys of the others, which now have a row too.

    Sorted, here and wherever tasks are locked: two workers with common tasks wait for each other, never both.

    :param first: by task, the attempt to make a row of where there is none.
    """
    if not first:
        return [], set()
    # A row of its own for each unknown task, before its attempts are compared: two workers that get the first two
    # attempts of a task at the same moment must not both find none.
    rows = [task_row(first[task], now) for task in sorted(first)]
    made = connection.execute(insert_missing(connection, tasks).returning(tasks.c.task), rows)
    new = set(made.scalars())
    locked = select(tasks).where(tasks.c.task.in_(sorted(first))).order_by(tasks.c.task).with_for_update()
    return [dict(row) for row in connection.execute(locked).mappings() if row["task"] not in new], new


def task_row(attempt: Attempt, now: datetime) -> Row:
    """A task's row, when this attempt is its newest."""
    return {"task": attempt.task, **attempt_columns(attempt), "updated_at": now}


def attempt_columns(attempt: Attempt) -> Row:
    """What the tables keep of an attempt."""
    return {
        "attempt_id": attempt.id,
        "try_number": attempt.try_number,
        "max_tries": attempt.max_tries,
        "run_start": attempt.run_start,
        "replay": attempt.replay,
    }


def seen_in(row: Row) -> Seen:
    """What is compared of the attempt that a row keeps."""
    return Seen(row["attempt_id"], row["try_number"], row["max_tries"], row["run_start"], row["replay"])


def seen_of(attempt: Attempt) -> Seen:
    """What is compared of an attempt."""
    return Seen(attempt.id, attempt.try_number, attempt.max_tries, attempt.run_start, attempt.replay)
