"""Alembic's entry: runs revisions on the connection that :mod:`langgraph_worker.store.migrations.migrate` hands in."""

from __future__ import annotations

from collections.abc import MutableMapping

from alembic import context

from langgraph_worker.store.migrations.migrate import VERSION_TABLE
from langgraph_worker.store.migrations.schema import metadata


def _ours(name: str | None, kind: str, parents: MutableMapping[str, str | None]) -> bool:
    # LangGraph's savers keep their tables in the same database.
    return kind != "table" or name in metadata.tables


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=_ours,  # type: ignore[arg-type]  # Alembic's annotation lists the kinds as literals
    compare_server_default=True,
    render_as_batch=True,  # SQLite alters tables by copying them
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
