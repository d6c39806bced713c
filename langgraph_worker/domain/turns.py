"""In which order waiting runs start: each gets its turn when it is accepted, and the earliest turn comes first.

A turn is an instant: that of the acceptance, moved by the event's priority. So a run of a higher priority overtakes
only what came shortly before it, and whatever waits gets older than all that may still overtake it: nothing starves.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from workflow_events.fields import EARLIEST

POINT_SECONDS = 30
"""One point of priority overtakes what was accepted up to so many seconds before, at a priority one point lower."""

MOST_MOVED_SECONDS = 3600
"""No priority moves a turn further than this, in either direction: it is far less than the usual deadline."""

STARTED = EARLIEST
"""The turn of a run that a worker has started: if it loses its owner, it goes on before anything else starts."""


def turn_of(accepted_at: datetime, priority: int) -> datetime:
    """The turn of a waiting run.

    :param accepted_at: by the store's clock, UTC.
    """
    most = MOST_MOVED_SECONDS // POINT_SECONDS
    points = max(-most, min(most, priority))
    return accepted_at - timedelta(seconds=points * POINT_SECONDS)
