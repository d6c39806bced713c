"""Whether a consumer is a member of its group, also where the client reports nothing, and when that changes."""

from __future__ import annotations

import struct

from confluent_kafka import Consumer, KafkaError

REBALANCING = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS, KafkaError._STATE}
)
"""The group is rebalancing. What another member gets is no longer owed: the store knows those requests already. What
stays here (rebalances are incremental) is still to be committed.
"""

_MAGIC = b"CGMDv2:"  # librdkafka's; the generation follows, in the machine's byte order
_GENERATION = struct.Struct("=i")


def has_joined(consumer: Consumer) -> bool:
    """Whether the group's coordinator has taken the consumer as a member.

    With ``group.protocol=consumer`` the client calls nothing back for an assignment that is empty, as the members get
    that are more than the partitions.
    """
    metadata: bytes | None = consumer.consumer_group_metadata()
    if metadata is None or not metadata.startswith(_MAGIC):
        return False
    (generation,) = _GENERATION.unpack_from(metadata, len(_MAGIC))
    return bool(generation > 0)
