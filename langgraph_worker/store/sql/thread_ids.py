"""The ids of threads: UUIDs, but those that a worker of the version before began keep the text that it called them by.

A conversation goes on under the id that it has: checkpoints, answers and whatever a graph has put elsewhere under that
id are found again. Workers of the version before know the text alone. While one of them may be at work, new threads get
the text too: it would begin another thread for a conversation, or for a retry, of which it does not know the id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, bindparam, select

from langgraph_worker.store.migrations.schema import UtcDateTime, threads, workers
from langgraph_worker.store.sql.statements import in_chunks
from workflow_events.identity import thread_id, thread_name
from workflow_events.models import WorkflowEvent

GONE_AFTER = timedelta(hours=1)
"""A worker of the version before that was not seen for so long is gone: it could not start again on this schema."""


@dataclass(frozen=True, slots=True)
class ThreadIds:
    """Chooses the ids of the threads of one batch.

    :param known: of the ids that may be meant, those that the store has.
    :param as_before: new threads get the text.
    """

    known: Collection[str]
    as_before: bool

    def choose(self, event: WorkflowEvent, graph: str, logical_run: UUID) -> str:
        """The id of the thread of a request that is no answer."""
        made, text = _ids(event, graph, logical_run)
        if made in self.known:
            return made
        return text if self.as_before or text in self.known else made


def look(
    connection: Connection, requests: Iterable[tuple[WorkflowEvent, str, UUID | None]], now: datetime
) -> ThreadIds:
    """What the store knows of the threads of a batch.

    :param requests: the events that are no answers, each with its graph and the logical run that it may go on with.
    """
    asked = list(requests)
    wanted = {
        name for event, graph, run in asked if event.thread_id or run for name in _ids(event, graph, run or _NONE)
    }
    known: set[str] = set()
    for some in in_chunks(wanted):
        known |= set(connection.execute(select(threads.c.thread_id).where(threads.c.thread_id.in_(some))).scalars())
    as_before = bool(asked) and connection.execute(_of_version_before, {"since": now - GONE_AFTER}).first() is not None
    return ThreadIds(known, as_before)


_NONE = UUID(int=0)
_of_version_before = (
    select(workers.c.worker_id)
    .where(workers.c.uuid_threads.is_(None), workers.c.seen_at >= bindparam("since", type_=UtcDateTime()))
    .limit(1)
)


def _ids(event: WorkflowEvent, graph: str, logical_run: UUID) -> tuple[str, str]:
    """The UUID, and the text of the version before."""
    deployment = event.deployment or ""
    place = (graph, logical_run, event.thread_id, deployment)
    return thread_id(*place), thread_name(*place)
