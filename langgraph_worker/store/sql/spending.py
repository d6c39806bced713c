"""What logical runs have spent: a row each, which only the owner of their thread writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select

from langgraph_worker.domain.accounts import Count
from langgraph_worker.domain.models import Claim
from langgraph_worker.domain.results import storable
from langgraph_worker.domain.spending import Spending
from langgraph_worker.store.migrations.schema import run_spending, workflow_runs
from langgraph_worker.store.sql import shared_spending
from langgraph_worker.store.sql.rows import columns_of
from langgraph_worker.store.sql.spending_rows import SpendingRow
from langgraph_worker.store.sql.statements import insert_or_replace
from workflow_events.results import ModelUsage

of_its_run: ColumnElement[bool] = and_(
    run_spending.c.lineage == workflow_runs.c.lineage, run_spending.c.generation == workflow_runs.c.generation
)
"""The condition that a row is that of a run's logical run."""

COLUMNS = tuple(run_spending.c[name].label(f"spent_{name}") for name in shared_spending.COUNTED)
"""What a claim reads, under the names that :class:`~langgraph_worker.store.sql.run_rows.ClaimableRun` has."""


_of_lineages = select(*columns_of(SpendingRow, run_spending)).where(
    run_spending.c.lineage.in_(bindparam("lineages", expanding=True))
)


def write(connection: Connection, counted: Sequence[tuple[Claim, Spending]], now: datetime) -> None:
    """Keep what logical runs have spent by now, and add what is new of it to their accounts. A later count replaces an
    earlier one.
    """
    by_run = {(claim.lineage, claim.generation): (claim, spent) for claim, spent in counted}
    if not by_run:
        return
    before = _stored(connection, {lineage for lineage, _ in by_run})
    rows = {key: _row(*by_run[key], now) for key in sorted(by_run)}
    connection.execute(insert_or_replace(connection, run_spending), [row.parameters() for row in rows.values()])
    # Of the rows: what a database cannot keep of a model's name is left out in both.
    new = [(by_run[key][0], Count.between(before.get(key), row.spending)) for key, row in rows.items()]
    shared_spending.add(connection, new, now)


def _stored(connection: Connection, lineages: Collection[str]) -> dict[tuple[str, int], Spending]:
    found = connection.execute(_of_lineages, {"lineages": sorted(lineages)})
    return {(row.lineage, row.generation): row.spending for row in SpendingRow.read(found)}


def carry_over(connection: Connection, claims: Sequence[Claim], now: datetime) -> None:
    """Let the next generation of each, in which a run starts over, have spent what the left one has."""
    for claim in claims:
        left = and_(run_spending.c.lineage == claim.lineage, run_spending.c.generation == claim.generation)
        found = connection.execute(select(*columns_of(SpendingRow, run_spending)).where(left))
        moved = [row.parameters() | {"generation": claim.generation + 1} for row in SpendingRow.read(found)]
        if moved:
            connection.execute(insert_or_replace(connection, run_spending), moved)


def _row(claim: Claim, spent: Spending, now: datetime) -> SpendingRow:
    spent = storable(spent)
    return SpendingRow(
        lineage=claim.lineage,
        generation=claim.generation,
        steps=spent.steps,
        seconds=spent.seconds,
        usage=usage_as_json(spent.usage),
        unreported=sorted(spent.unreported) or None,
        marks=None if spent.marks is None else sorted(spent.marks),
        updated_at=now,
    )


def usage_as_json(usage: Mapping[str, ModelUsage]) -> dict[str, Any]:
    """Usage by model, as a column holds it."""
    return {model: used.model_dump() for model, used in usage.items()}
