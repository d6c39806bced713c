"""The run store of the settings. Imports no LangGraph: commands that run no graph are quick."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.sql.run_store import SqlRunStore

if TYPE_CHECKING:
    from langgraph_worker.graphs.loader import Graphs


def make_store(
    settings: WorkerSettings, graphs: Graphs | None = None, now: Callable[[], datetime] | None = None
) -> SqlRunStore:
    """The run store of the settings, not opened yet.

    :param graphs: of the worker's project; a store that runs nothing needs none.
    :param now: its clock, UTC; None: the database's own.
    """
    return SqlRunStore(
        settings.store_url,
        max_result_bytes=settings.max_message_bytes,
        keep_checkpoints=settings.keep_checkpoints,
        lease_seconds=settings.lease_seconds,
        release=graphs.release if graphs else None,
        keep_of_graphs=graphs.kept_checkpoints if graphs else None,
        max_running=graphs.max_running if graphs else None,
        now=now,
    )
