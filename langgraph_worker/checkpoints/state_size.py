"""How many bytes a run writes of its state at once, and a warning before they hurt."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from langgraph_worker.domain.models import Claim
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

WARN_STATE_BYTES = 10 * 1024 * 1024
"""A put of this size takes tens of milliseconds of the event loop, and the writes of other runs wait for it."""


class StateSize:
    """Watches the puts of one run. Warns when one is as large as the threshold, and at each doubling of that size.

    :param warn_bytes: the threshold. It is compared with one put: SQLite writes the whole state with each checkpoint,
        PostgreSQL what has changed.
    """

    def __init__(self, claim: Claim, warn_bytes: int, metrics: Metrics) -> None:
        self._claim = claim
        self._metrics = metrics
        self._warn_bytes = self._next = warn_bytes

    def note(self, statements: Sequence[Statement]) -> None:
        """Measure a put before it is written: a put that is too large for the database has been warned of, too."""
        size = written_bytes(statements)
        self._metrics.checkpoint(self._claim.graph, size)
        if size < self._next:
            return
        self._next = 2 * size
        claim = self._claim
        logger.warning(
            "the state of graph %r on thread %s is large: one checkpoint, or the output of one node, writes %s bytes "
            "(warned of from %s on: LANGGRAPH_WORKER_WARN_STATE_BYTES), and the thread keeps many of them. Keep large "
            "data elsewhere and its address in the state, remove old messages, or keep fewer checkpoints "
            "(config.keep_checkpoints, or 'checkpoints' in the graph's entry)",
            claim.graph,
            claim.thread_name or claim.thread_id,
            f"{size:,}",
            f"{self._warn_bytes:,}",
            extra={
                "action": "large_state",
                "correlation_id": str(claim.correlation_id),
                "graph": claim.graph,
                "bytes": size,
            },
        )


def written_bytes(statements: Iterable[Statement]) -> int:
    """The size of all values of these statements in their stored form. Ids and names are not counted."""
    total = 0
    for statement in statements:
        for row in statement.rows:
            for value in row:
                kind = type(value)
                if kind is bytes:
                    total += len(value)
                elif kind not in _IDS_AND_NAMES:
                    total += _json_bytes(value)
    return total


_IDS_AND_NAMES = frozenset({str, int, type(None)})


def _json_bytes(value: Any) -> int:
    dumps = getattr(value, "dumps", None)  # of psycopg's Jsonb, which is not imported for SQLite
    return len(dumps(value.obj)) if dumps else 0  # the text was made when it was recorded: this only looks at it
