"""Why a Kafka client cannot work, in Airflow's words.

librdkafka reports a refused login or an unreachable broker to ``error_cb`` alone; the call that waits only times out.
So every client gets a :class:`BrokerErrors`, and a failed call is explained from what was reported to it.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from workflow_events.kafka_errors import CREDENTIALS, MOST_TELLING, Words, hint, without_secrets
from workflow_events.plain_text import one_line

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

log = logging.getLogger(__name__)

WORDS = Words(
    servers="bootstrap.servers in the connection's extra",
    client="the connection's extra",
    client_files="on each host that uses the connection",
    topics="the operator's fleet or [langgraph] of Airflow's configuration",
    topic_rights="the ACLs that the documentation lists",
    group_remedy="grant it the ACLs that the documentation lists",
    cluster_rights="the ACLs that the documentation lists",
    size_remedy="pass a reference to large data, or raise max.message.bytes of the topic",
)
_REFUSED = CREDENTIALS | {"_SSL"}


def explain(error: KafkaError) -> str:
    """One error with its remedy, where one is known."""
    text = f"{error.name()}: {one_line(without_secrets(error.str()))}"
    found = hint(error.name(), WORDS)
    if found is None:
        return text
    return f"{text} ({found.problem}: {found.remedy})" if found.remedy else f"{text} ({found.problem})"


class BrokerErrors:
    """Collects the errors that a client reports to its ``error_cb``. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, KafkaError] = {}

    def __call__(self, error: KafkaError) -> None:
        """The ``error_cb``."""
        with self._lock:
            self._latest[error.name()] = error

    def forget(self) -> None:
        """Forget the errors: the client works again."""
        with self._lock:
            self._latest.clear()

    @property
    def refused(self) -> bool:
        """Whether the broker has refused the client's credentials: waiting will not help."""
        with self._lock:
            return not _REFUSED.isdisjoint(self._latest)

    def explain(self, error: KafkaError | None = None) -> str:
        """The most telling of the reported errors, else ``error`` itself."""
        with self._lock:
            reported = dict(self._latest)
        for name in MOST_TELLING:
            if name in reported:
                return explain(reported[name])
        if reported:
            return explain(next(iter(reported.values())))
        return explain(error) if error is not None else "no broker answered in time"


def with_errors(settings: dict[str, Any]) -> tuple[dict[str, Any], BrokerErrors]:
    """Settings whose ``error_cb`` is a new :class:`BrokerErrors`; one of the connection's own is called too."""
    errors = BrokerErrors()
    own = settings.get("error_cb")

    def report(error: KafkaError) -> None:
        errors(error)
        if callable(own):
            try:
                own(error)
            except Exception:
                # The call that serves the client would raise it, and the thread that makes the call would end.
                log.exception("The connection's own error_cb failed")

    return settings | {"error_cb": report}, errors
