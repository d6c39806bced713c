"""LangGraph's saver for the database of a run store."""

from __future__ import annotations

from langgraph_worker.checkpoints.dialect import Dialect
from langgraph_worker.checkpoints.serializer import NamingSerializer
from langgraph_worker.store.engines.sqlite import SqliteDatabase
from langgraph_worker.store.sql.run_store import SqlRunStore


def make_dialect(store: SqlRunStore, serde: NamingSerializer) -> Dialect:
    """The saver; it stores and loads values with this serializer. Only its database's modules are imported."""
    database = store.database
    if isinstance(database, SqliteDatabase):
        from langgraph_worker.checkpoints.sqlite_dialect import SqliteCheckpoints

        return SqliteCheckpoints(database, serde)
    from langgraph_worker.checkpoints.postgres_dialect import PostgresCheckpoints
    from langgraph_worker.store.engines.postgres import PostgresDatabase

    assert isinstance(database, PostgresDatabase)
    return PostgresCheckpoints(database, serde)
