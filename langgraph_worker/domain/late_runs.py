"""What is said of a run whose deadline passed while it waited to be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from workflow_events.log_words import in_utc


@dataclass(frozen=True, slots=True)
class LastTry:
    """The start of a run that an error has ended, after which the run waits to be repeated.

    :param error: what was raised, as far as it may leave the worker.
    :param error_class: by which the worker repeats it.
    :param retry: which retry of the class follows; 0: it is not known.
    :param due_at: when that may start, UTC.
    """

    error: str
    error_class: str
    retry: int
    due_at: datetime


def late_while_it_waited(deadline: datetime, last: LastTry, cause: str) -> str:
    """Why a run that backed off has ended at its deadline, and the remedy.

    :param cause: what held it up, with the remedy, as far as the store knows; empty if it does not. It counts only if
        the run was due before the deadline.
    """
    retry = f", retry {last.retry}" if last.retry else ""
    is_held_up = bool(cause) and last.due_at < deadline
    return (
        f"the deadline {in_utc(deadline)} passed while the run waited to be repeated ({last.error_class}{retry}) "
        f"after {last.error}; it was due again at {in_utc(last.due_at)}"
        f"{f', but {cause}' if is_held_up else '. Allow the task a longer timeout'}"
    )
