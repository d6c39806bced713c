"""What the log says of a run that goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from langgraph.types import StateSnapshot

from langgraph_worker.domain.models import Claim
from workflow_events.log_words import short_id

logger = logging.getLogger(__name__)


def log_resume(claim: Claim, finished: Sequence[str], snapshot: StateSnapshot) -> list[str]:
    """Write where a run goes on; the nodes that do not run again, in order.

    :param finished: the nodes before the superstep under way.
    :param snapshot: of the thread; its tasks are that superstep's.
    """
    done = [*finished, *(task.name for task in snapshot.tasks)]
    kept = [name for name in dict.fromkeys(done) if name not in snapshot.next]
    logger.info(
        "%s: %s%s (graph %s, request %s)",
        "resumed with an answer" if claim.answers else "resumed",
        f"{', '.join(kept)} not run again" if kept else "no node had finished",
        f"; goes on with {', '.join(dict.fromkeys(snapshot.next))}" if snapshot.next else "; the graph had finished",
        claim.graph,
        short_id(claim.correlation_id),
        extra={"action": "resumed", "correlation_id": str(claim.correlation_id), "graph": claim.graph},
    )
    return kept
