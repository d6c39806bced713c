"""What a reply router is asked to do: by waiters that come and leave, and by the read backs that it has started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_langgraph.waiting.catch_up import CatchUpResult
from workflow_events.codec import Record


@dataclass(frozen=True, slots=True)
class Register:
    """A waiter has come; others may wait for the same reply already.

    :param key: the correlation id as it stands in the header.
    :param start: where its reply can lie at the earliest, by partition; a missing partition means from its start.
    :param cluster, topic_id: the Kafka cluster and the topic that ``start`` is about; empty where unknown.
    :param control_topic: where the workers can be asked to publish the reply again.
    """

    key: bytes
    start: Mapping[int, int]
    cluster: str = ""
    topic_id: str = ""
    control_topic: str = ""


@dataclass(frozen=True, slots=True)
class Unregister:
    """The last waiter for this reply has left."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody wants to know now whether a reply that is waited for is on the topic."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A read back has found replies."""

    replies: dict[bytes, Record]


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A read back has ended.

    :param passed: None if it could not read everything.
    :param error: why.
    """

    passed: CatchUpResult | None
    error: str


Command = Register | Unregister | Look | Found | ReadBack
