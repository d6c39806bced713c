"""The row classes follow the tables by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args, get_type_hints
from uuid import UUID

import pytest
from pydantic import JsonValue
from sqlalchemy import Table, create_engine, insert, select

from langgraph_worker.store.migrations.schema import (
    cancellations,
    interrupts,
    lineages,
    metadata,
    tasks,
    threads,
    workflow_runs,
)
from langgraph_worker.store.sql import rows, run_rows

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = UUID(int=1)


def names(kind: type[rows.Row]) -> set[str]:
    return set(rows.column_names(kind))


@pytest.mark.parametrize(
    ("kind", "table", "left_out"),
    [
        (rows.TaskRow, tasks, set()),
        (rows.LineageRow, lineages, set()),
        (rows.QuestionRow, interrupts, set()),
        (rows.CancelRow, cancellations, set()),
        (run_rows.RunRow, workflow_runs, {"seq"}),
    ],
)
def test_a_row_has_every_column_of_its_table(kind: type[rows.Row], table: Table, left_out: set[str]) -> None:
    assert names(kind) == set(table.c.keys()) - left_out


@pytest.mark.parametrize(
    ("kind", "table", "added"),
    [
        (rows.LockedThread, threads, set()),
        (
            rows.GraphQuestion,
            interrupts,
            {"graph", "deployment", "thread_name", "workflow_id", "workflow_run_id", "event"},
        ),
        (run_rows.RunBrief, workflow_runs, set()),
        (run_rows.WaitingRun, workflow_runs, set()),
        (run_rows.ControlledRun, workflow_runs, set()),
        (
            run_rows.ClaimableRun,
            workflow_runs,
            {
                "token",
                "nodes",
                "begun_by",
                "first_traceparent",
                "spent_usage",
                "spent_steps",
                "spent_seconds",
                "spent_unreported",
                "spent_marks",
            },
        ),
        (run_rows.UnpublishedRun, workflow_runs, set()),
        (run_rows.PrunableRun, workflow_runs, set()),
        (run_rows.RunEnding, workflow_runs, set()),
    ],
)
def test_a_part_of_a_row_has_columns_of_its_table(kind: type[rows.Row], table: Table, added: set[str]) -> None:
    assert names(kind) - set(table.c.keys()) == added
    assert {column.name for column in rows.columns_of(kind, table)} == names(kind) - added


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (rows.TaskRow, tasks),
        (rows.LineageRow, lineages),
        (rows.QuestionRow, interrupts),
        (rows.CancelRow, cancellations),
        (run_rows.RunRow, workflow_runs),
    ],
)
def test_a_column_that_may_be_null_may_be_none(kind: type[rows.Row], table: Table) -> None:
    types = get_type_hints(kind)
    optional = {name for name, type_ in types.items() if type_ is JsonValue or type(None) in get_args(type_)}
    assert optional == {column.name for column in table.c if column.nullable}


def test_a_row_comes_back_as_it_was_written() -> None:
    engine = create_engine("sqlite://")
    row = rows.CancelRow(correlation_id=ONE, reason="late", requested_by=None, received_at=NOW, expires_at=NOW)
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(insert(cancellations), [row.parameters()])
        assert rows.CancelRow.read(connection.execute(select(cancellations))) == [row]
    engine.dispose()


def test_an_ending_replaces_its_columns_and_no_others() -> None:
    run = run_rows.RunRow(
        correlation_id=ONE,
        workflow_id="dag",
        workflow_run_id="run",
        status="PENDING",
        decision="fresh",
        cluster="c",
        topic="t",
        partition=0,
        offset=7,
        accepted_at=NOW,
        turn=NOW,
        waiting_since=NOW,
        reply_topic="r",
    )
    ending = run_rows.RunEnding(
        status="COMPLETED",
        result_status="success",
        error_type=None,
        finished_at=NOW,
        reply_key=b"k",
        reply_value=b"v",
        reply_headers=[["name", "value"]],
        published_at=None,
        publish_asked=1,
        publisher="p",
        adoptable_at=NOW,
    )
    ended = run.ended(ending).parameters()
    assert {name: ended[name] for name in rows.column_names(run_rows.RunEnding)} == ending.parameters()
    assert {name for name, value in run.parameters().items() if ended[name] != value} <= names(run_rows.RunEnding)


def test_an_attempt_is_kept_whole_or_not_at_all() -> None:
    task = rows.TaskRow(task="t", attempt_id=ONE, try_number=2, max_tries=3, run_start=None, replay=1, updated_at=NOW)
    assert (task.newest.id, task.newest.try_number, task.newest.max_tries, task.newest.replay) == (ONE, 2, 3, 1)
