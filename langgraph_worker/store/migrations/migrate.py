"""Alembic without its command line: the revisions are part of the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from langgraph_worker.errors import StoreError
from langgraph_worker.store.migrations.schema import metadata

VERSION_TABLE = "langgraph_worker_alembic"
"""Not Alembic's default: a database may be shared with others that use it."""


class SchemaError(StoreError):
    """The database cannot be brought up to date. The text is half a sentence: what is there, and the remedy."""

    retriable = False


@dataclass(frozen=True, slots=True)
class NewIndex:
    """An index that a revision adds to a table that may be large, as one of the revision's ``INDEXES``.

    A revision is one transaction, in which CREATE INDEX stops all writes to the table until the index is complete. So
    on PostgreSQL it is built before, where writers go on (CREATE INDEX CONCURRENTLY, which no transaction may contain),
    and the revision creates only what it does not find.

    :param where: the rows that it holds, in SQL; None for all.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    where: str | None = None


def config(connection: Connection) -> Config:
    """Alembic's configuration for this package's revisions, on an open connection."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def new_indexes(connection: Connection) -> list[NewIndex]:
    """The indexes to be built before :func:`upgrade`; none for a schema that is empty, or that it would refuse.

    One of a column that is not there yet is left to the revision: it is small, as every row has NULL there.
    """
    revisions = ScriptDirectory.from_config(config(connection))
    heads = _heads(connection)
    if not heads or set(heads) - _known(revisions):
        return []
    pending = revisions.iterate_revisions("head", heads)
    wanted = [index for revision in pending for index in getattr(revision.module, "INDEXES", ())]
    inspector = inspect(connection)
    columns = {table: {column["name"] for column in inspector.get_columns(table)} for table in _tables_of(wanted)}
    return [index for index in wanted if columns[index.table].issuperset(index.columns)]


def _tables_of(indexes: list[NewIndex]) -> set[str]:
    return {index.table for index in indexes}


def upgrade(connection: Connection) -> None:
    """Bring the schema to this package's revision, in the connection's transaction; at that revision, change nothing.

    :raises SchemaError: the schema is newer than this package, or not its own.
    """
    settings = config(connection)
    heads = _heads(connection)
    newer = sorted(set(heads) - _known(ScriptDirectory.from_config(settings)))
    if newer:
        raise SchemaError(
            f"has schema revision {newer[0]!r}, which a newer langgraph-worker wrote: upgrade this worker"
        )
    foreign = sorted(metadata.tables.keys() & inspect(connection).get_table_names())
    if foreign and not heads:
        raise SchemaError(f"holds tables of something else ({', '.join(foreign)}): move them away")
    command.upgrade(settings, "head")


def _heads(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()


def _known(revisions: ScriptDirectory) -> set[str]:
    return {revision.revision for revision in revisions.walk_revisions()}
