"""Databases that refuse single rows: what stands for a value that one database cannot keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from sqlalchemy import Column, Connection, MetaData, String, Table, Uuid, create_engine, delete, insert

from tests.support.run_store import driver_url

_VALUES = {
    "workflow_runs": ["event", "reply_value"],
    "model_usage": ["model"],
    "step_executions": ["output"],
}
"""The columns that are looked at, by table."""


def refuse_rows(url: str, text: str) -> None:
    """From now on the database refuses each row with this text in a request, a result, a model's name, a step's output.

    :param url: of a store, whose tables are there.
    """
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        for table, columns in _VALUES.items():
            _refuse(connection, table, columns, text)
    engine.dispose()


Change = Literal["INSERT", "UPDATE", "DELETE"]

REFUSED = Table("refused_rows", MetaData(), Column("correlation_id", Uuid), Column("change", String))
"""The runs whose rows the database does not let change so, once :func:`prepare_refusals` was called."""

_CHANGES: Sequence[Change] = ("INSERT", "UPDATE", "DELETE")
_IS_REFUSED = "EXISTS (SELECT 1 FROM refused_rows WHERE correlation_id = {row}.correlation_id AND change = '{change}')"


def prepare_refusals(connection: Connection) -> None:
    """Let :func:`refuse` work on this store."""
    REFUSED.metadata.create_all(connection)
    for change in _CHANGES:
        row = "OLD" if change == "DELETE" else "NEW"
        when = _IS_REFUSED.format(row=row, change=change)
        name = f"refuse_{change.lower()}"
        if connection.dialect.name == "sqlite":
            raises = f"WHEN {when} BEGIN SELECT RAISE(ABORT, 'no'); END"
            connection.exec_driver_sql(f"CREATE TRIGGER {name} BEFORE {change} ON workflow_runs {raises}")
            continue
        body = f"BEGIN IF {when} THEN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END IF; RETURN {row}; END"
        connection.exec_driver_sql(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name} BEFORE {change} ON workflow_runs FOR EACH ROW EXECUTE FUNCTION {name}()"
        )


def refuse(connection: Connection, run: UUID | None, change: Change = "UPDATE") -> None:
    """From the commit on, the database does not let this run's row change so; None: it lets all change again."""
    connection.execute(delete(REFUSED))
    if run is not None:
        connection.execute(insert(REFUSED), {"correlation_id": run, "change": change})


def _refuse(connection: Connection, table: str, columns: list[str], text: str) -> None:
    if connection.dialect.name == "sqlite":
        having = " OR ".join(f"instr(CAST(NEW.{column} AS TEXT), '{text}') > 0" for column in columns)
        for event in ("INSERT", "UPDATE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER refuse_{table}_{event} BEFORE {event} ON {table} WHEN {having} "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        return
    having = " OR ".join(f"position('{text}'::bytea IN {_bytes(column)}) > 0" for column in columns)
    body = f"BEGIN IF {having} THEN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END"
    connection.exec_driver_sql(f"CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    connection.exec_driver_sql(
        f"CREATE TRIGGER refuse_{table} BEFORE INSERT OR UPDATE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION refuse_{table}()"
    )


def _bytes(column: str) -> str:
    return f"NEW.{column}" if column == "reply_value" else f"convert_to(NEW.{column}::text, 'UTF8')"
