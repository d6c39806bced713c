"""Alembic without its command line: the revisions are part of the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from langgraph_worker.store.schema import metadata

VERSION_TABLE = "langgraph_worker_alembic"
"""Not Alembic's default: a database may be shared with others that use it."""


class SchemaError(Exception):
    """The database cannot be brought up to date. The text is half a sentence: what is there, and the remedy."""


def config(connection: Connection) -> Config:
    """Alembic's configuration for this package's revisions, on an open connection."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def upgrade(connection: Connection) -> None:
    """Bring the schema to this package's revision, in the connection's transaction; at that revision, change nothing.

    :raises SchemaError: the schema is newer than this package, or not its own.
    """
    settings = config(connection)
    known = {revision.revision for revision in ScriptDirectory.from_config(settings).walk_revisions()}
    heads = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    newer = sorted(set(heads) - known)
    if newer:
        raise SchemaError(
            f"has schema revision {newer[0]!r}, which a newer langgraph-worker wrote: upgrade this worker"
        )
    foreign = sorted(metadata.tables.keys() & inspect(connection).get_table_names())
    if foreign and not heads:
        raise SchemaError(f"holds tables of something else ({', '.join(foreign)}): move them away")
    command.upgrade(settings, "head")
