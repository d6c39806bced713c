"""Ending a request whose task no longer waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from airflow_provider_langgraph.requests.client import Connect, FleetClient
from workflow_events.log_words import short_id

CANCEL_SECONDS = 4.0
"""How long a task tries to cancel its request: five seconds after SIGTERM comes SIGKILL."""

KILLED = "the task was killed, cleared or marked in Airflow"
CANNOT_WAIT = "its reply cannot be waited for"
NO_WAITER = "no task waits for its reply any more"
NO_REPLY = "no reply came by its deadline"


class Canceller:
    """Cancels requests as well as it can: a cancel that cannot be sent is logged, and hides no other error.

    :param connect: makes the client; one of its own, since the one that published may have been abandoned.
    :param log: the task's logger.
    """

    def __init__(self, connect: Connect, log: Any) -> None:
        self._connect = connect
        self._log = log

    def cancel(self, request: UUID, reason: str) -> None:
        """End a request, within :data:`CANCEL_SECONDS`. Without it the run ends at its deadline."""
        try:
            client = self._connect(CANCEL_SECONDS)
            client.cancel(request, client.topics.control, reason=reason)
        except Exception as error:  # noqa: BLE001 - why the task ends matters more
            self._log.warning(
                "The agent could not be cancelled, and runs to its deadline at most: %s (request %s)",
                error,
                short_id(request),
            )
        else:
            self._log.info("Cancelled the agent: %s (request %s)", reason, short_id(request))

    def cancel_all(self, requests: Iterable[UUID], reason: str) -> None:
        """:meth:`cancel` each of them. Where one cannot be sent, the others are not tried: there is no time for it."""
        client: FleetClient | None = None
        waiting = list(requests)
        try:
            while waiting:
                client = client or self._connect(CANCEL_SECONDS)
                client.cancel(waiting[0], client.topics.control, reason=reason)
                self._log.info("Cancelled the agent: %s (request %s)", reason, short_id(waiting.pop(0)))
        except Exception as error:  # noqa: BLE001 - why the task ends matters more
            self._log.warning(
                "Some agents could not be cancelled, and run to their deadline at most: %s (requests %s)",
                error,
                ", ".join(map(short_id, waiting)),
            )


class CancellerOfAll(Canceller):
    """Cancels whatever a task with several agents has under way, whichever request it is asked to cancel.

    :param requests: gives them.
    """

    def __init__(self, canceller: Canceller, requests: Callable[[], Iterable[UUID]]) -> None:
        self._canceller = canceller
        self._requests = requests

    def cancel(self, request: UUID, reason: str) -> None:
        """End them all."""
        self._canceller.cancel_all(self._requests(), reason)


class NoCanceller(Canceller):
    """For a task that did not publish the request it waits for: it cancels nothing, and says so.

    :param log: the task's logger.
    """

    def __init__(self, log: Any) -> None:
        self._log = log

    def cancel(self, request: UUID, reason: str) -> None:
        """Leave the agent at work."""
        self._log.info("The agent is not cancelled, as this task did not start it (request %s)", short_id(request))
