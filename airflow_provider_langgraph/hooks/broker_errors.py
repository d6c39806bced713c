"""Why a Kafka client cannot work, in words for a person.

librdkafka reports a refused login or an unreachable broker to ``error_cb`` alone; the call that waits merely times out.
So every client is given a :class:`BrokerErrors`, and a failed call is explained from what it heard.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

log = logging.getLogger(__name__)

_REMEDIES = {
    "_AUTHENTICATION": "the broker refused the login: check security.protocol, sasl.mechanism, sasl.username and "
    "sasl.password in the connection's extra",
    "_SSL": "the TLS handshake failed: check security.protocol and the ssl.* settings in the connection's extra",
    "_RESOLVE": "the broker's name cannot be resolved: check bootstrap.servers in the connection's extra",
    "_INVALID_ARG": "correct the setting that it names in the connection's extra; a file has to be there on each host "
    "that uses the connection",
    "_ALL_BROKERS_DOWN": "no broker can be reached: check bootstrap.servers in the connection's extra, and the network",
    "_TRANSPORT": "no broker can be reached: check bootstrap.servers in the connection's extra, and the network",
    "TOPIC_AUTHORIZATION_FAILED": "the user may not use this topic: grant it the ACLs that the documentation lists",
    "CLUSTER_AUTHORIZATION_FAILED": "the user lacks a right on the cluster: grant it the ACLs that the documentation "
    "lists",
    "MSG_SIZE_TOO_LARGE": "the message is larger than the broker or the client allows: pass a reference to large data, "
    "or raise message.max.bytes in the connection's extra and max.message.bytes of the topic",
    "UNKNOWN_TOPIC_OR_PART": "the topic does not exist: create it (`langgraph-worker run --create-topics` does), or "
    "correct its name in the operator's arguments or in [langgraph] of Airflow's configuration",
}
# Worst first: when a login is refused, "all brokers down" follows and says less.
_RANK = ("_AUTHENTICATION", "_SSL", "_RESOLVE", "TOPIC_AUTHORIZATION_FAILED", "_ALL_BROKERS_DOWN", "_TRANSPORT")


def explain(error: KafkaError) -> str:
    """One error with its remedy, where one is known."""
    remedy = _REMEDIES.get(error.name())
    return f"{error.name()}: {error.str()}" + (f" ({remedy})" if remedy else "")


class BrokerErrors:
    """Collects what a client's ``error_cb`` hears; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, KafkaError] = {}

    def __call__(self, error: KafkaError) -> None:
        """The ``error_cb``."""
        with self._lock:
            self._latest[error.name()] = error

    def forget(self) -> None:
        """What was heard is over: the client works again."""
        with self._lock:
            self._latest.clear()

    @property
    def refused(self) -> bool:
        """Whether the broker has refused the client's credentials: waiting will not help."""
        with self._lock:
            return "_AUTHENTICATION" in self._latest or "_SSL" in self._latest

    def explain(self, error: KafkaError | None = None) -> str:
        """The most telling of what was heard, else ``error`` itself."""
        with self._lock:
            heard = dict(self._latest)
        for name in _RANK:
            if name in heard:
                return explain(heard[name])
        if heard:
            return explain(next(iter(heard.values())))
        return explain(error) if error is not None else "no broker answered in time"


def with_errors(settings: dict[str, Any]) -> tuple[dict[str, Any], BrokerErrors]:
    """Settings whose ``error_cb`` is a new :class:`BrokerErrors`. A callback of the connection's own is called too."""
    errors = BrokerErrors()
    own = settings.get("error_cb")

    def heard(error: KafkaError) -> None:
        errors(error)
        if callable(own):
            try:
                own(error)
            except Exception:
                # It would come out of whatever call serves the client, and end the thread that makes it.
                log.exception("The connection's own error_cb failed")

    return settings | {"error_cb": heard}, errors
