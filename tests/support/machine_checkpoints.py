"""The checkpoints of a state machine's threads: rows in LangGraph's table, of which old ones may be removed."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, column, select, table

from langgraph_worker.store.engines.database import Statement

KEEP = 2
"""As the worker's setting."""
CHECKPOINTS = table("checkpoints", column("thread_id"), column("checkpoint_id"))
_numbers = itertools.count()


def new_checkpoint() -> str:
    """An id that comes after all others."""
    return f"{next(_numbers):020}"


def put_statement(thread: str, checkpoint: str, mark: str) -> Statement:
    """What LangGraph's saver writes, as far as the store looks at it."""
    sql = (
        "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata) "
        f"VALUES ({mark}, '', {mark}, 'json', {mark}, {mark})"
    )
    return Statement(sql, [(thread, checkpoint, '{"channel_versions": {}}', "{}")], many=False)


def read_checkpoints(connection: Connection) -> dict[str, list[str]]:
    """The ids of each thread's checkpoints."""
    found: dict[str, list[str]] = {}
    for thread, checkpoint in connection.execute(select(CHECKPOINTS).order_by(CHECKPOINTS.c.checkpoint_id)):
        found.setdefault(thread, []).append(checkpoint)
    return found


class Kept:
    """What has to be left of the checkpoints that were written."""

    def __init__(self) -> None:
        self._written: dict[str, list[str]] = {}

    def wrote(self, thread: str, checkpoint: str) -> None:
        """It is durable."""
        self._written.setdefault(thread, []).append(checkpoint)

    def forget(self, threads: Collection[str]) -> None:
        """They were removed with all their checkpoints."""
        self._written = {name: ids for name, ids in self._written.items() if name not in threads}

    def check(self, present: Mapping[str, Sequence[str]]) -> None:
        """Each thread's newest are there, without a gap: a run resumes from the last one."""
        assert present.keys() == self._written.keys()
        for name, ids in present.items():
            written = self._written[name]
            assert ids == written[-max(len(ids), min(KEEP, len(written))) :], f"{name} has {ids} of {written}"
        self._written = {name: list(ids) for name, ids in present.items()}

    def check_few(self, but: Collection[str]) -> None:
        """After a trim no thread has more than the store may leave, but for these."""
        for name, ids in self._written.items():
            assert name in but or len(ids) <= 2 * KEEP, f"{name} has {len(ids)} checkpoints"
