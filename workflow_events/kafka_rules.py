"""The settings of librdkafka that the protocol rests on: which values it allows, and why it allows no other.

Two modules check settings against these rules, and name the place of a wrong one: a worker's
``langgraph_worker/settings/kafka_check.py``, and ``airflow_provider_langgraph/kafka/client_settings.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PARTITIONER = "murmur2_random"
"""The partitioner of every producer. Kafka's Java clients use it too: a key maps to one partition for all of them."""

READS_LITTLE: Mapping[str, Any] = {"max.partition.fetch.bytes": 65_536, "queued.max.messages.kbytes": 16_384}
"""What a consumer reads at once, unless its settings say otherwise. What is read at once is unpacked at once, and gzip,
lz4 and snappy have no limit in the client: for 40 records of 20 MB in 0.8 MB of gzip, the default took 650 MiB more.
"""

READS_FEW: Mapping[str, Any] = {"queued.min.messages": 100, "fetch.queue.backoff.ms": 1}
"""How many records wait in the client for a consumer that reads all of a topic, unless its settings say otherwise. The
client's limit in bytes counts bodies alone: of records that are nothing but headers, a slow reader had all in memory.
With the default pause of a second, so few records would be read slowly.
"""

RECEIVES = "receive.message.max.bytes"
"""The limit up to which the client unpacks zstd; the other codecs know none. It tries three times as much memory until
a batch fits, so a limit of three times the largest batch is enough for it.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one setting may be.

    :param allowed: the values that keep the protocol, in lower case; the first is the usual spelling. Empty: the
        setting must not be set at all.
    :param reason: why any other value breaks the protocol.
    """

    allowed: tuple[str, ...]
    reason: str

    def allows(self, value: object) -> bool:
        """Whether this value keeps the protocol; ``True`` and ``"true"`` are the same to librdkafka."""
        return str(value).lower() in self.allowed


_BY_TIMER = Rule(
    ("false",), "a timer would commit the offsets of messages that are not safe yet, and they would be lost"
)
_ALL_REPLICAS = Rule(("all", "-1"), "a message counts as written when every in-sync replica has it")

CLIENT_RULES: Mapping[str, Rule] = {
    "enable.auto.commit": _BY_TIMER,
    "enable.auto.offset.store": _BY_TIMER,
    "partitioner": Rule((PARTITIONER,), "every producer must write a task's requests to one partition"),
    "acks": _ALL_REPLICAS,
    "request.required.acks": _ALL_REPLICAS,
    "enable.idempotence": Rule(("true",), "without it a message that is sent again may be duplicated or reordered"),
    "default.topic.config": Rule((), "it could hold settings that break the protocol"),
    "transactional.id": Rule((), "messages are not written in transactions"),
}
"""For every client."""

GROUP_RULES: Mapping[str, Rule] = {
    "auto.offset.reset": Rule(
        ("earliest", "smallest", "beginning"), "any other value would skip the requests that wait for a new group"
    ),
    "partition.assignment.strategy": Rule(("cooperative-sticky",), "rebalances must be incremental"),
}
"""For the members of a consumer group, in addition."""


def violations(settings: Mapping[str, Any], rules: Mapping[str, Rule]) -> Iterator[tuple[str, Rule]]:
    """The names of the settings that break a rule, and the rule, in the order of the settings."""
    for name, value in settings.items():
        rule = rules.get(name)
        if rule is not None and not rule.allows(value):
            yield name, rule
