"""What the worker needs of its broker. Every implementation passes the same contract suite (``tests/contract/broker``).

A topic has partitions, each a sequence of records with rising offsets. A key always goes to the same partition. The
members of a group share the partitions of a topic. The *commit* of a group is an offset for each partition: a member
that gets the partition begins there. All before it is done for good, all from there on is delivered again. So every
record is delivered at least once, and the receiver makes a repeat harmless.

All of it belongs to one event loop. Nothing ends because the broker is away: a send waits until its time limit, a
commit or a delivery until the broker is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from langgraph_worker.errors import BrokerError
from workflow_events.codec import Record
from workflow_events.undecodable import UndecodablePlace


class SendError(BrokerError):
    """The broker has not acknowledged a message. It may have written the message nevertheless.

    :param retriable: whether it can help to send the message again, without a change by a person.
    :param too_large: whether the broker or the client does not take a message of this size.
    """

    def __init__(self, text: str, *, retriable: bool, too_large: bool = False) -> None:
        self.retriable = retriable
        self.too_large = too_large
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in the order of their offsets, and the assignment that they came from.

    :param epochs: the epoch of the assignment, by partition. A commit of an earlier assignment is dropped.
    :param undecodable: what lies before, between and behind the records and cannot be delivered. A commit of the batch
        is one of these offsets too. At least one record or place is there.
    :param is_ahead: the records are behind others that were not delivered yet, and come once more in their order.
        Nothing is committed for them.
    """

    records: tuple[Record, ...]
    epochs: Mapping[int, int]
    is_ahead: bool = False
    undecodable: tuple[UndecodablePlace, ...] = ()


class Producer(Protocol):
    """Writes messages. Messages with one key are read in the order of the calls, if none of the calls failed."""

    failed: asyncio.Future[None]
    """Gets an exception when this producer can never send again. The process must be started again."""

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | str | None]]
    ) -> None:
        """Write one message. Returns when every in-sync replica has it, so that any reader can read it.

        A call that is cancelled may have written the message.

        :raises SendError: the message was refused, or not acknowledged in time; the text names the topic. It does not
            help to send again what is too large or has no topic. It can help if the broker was away.
        """

    def close(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for what is under way, then end. Blocks: a worker does it last."""


class BestEffortProducer(Protocol):
    """Writes messages that may be lost."""

    def offer(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes | str | None]]) -> bool:
        """Take a message at once; False if it is dropped. Never raises, also while the broker is away."""

    def close(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for what is under way, then end. Blocks."""


class Control(Protocol):
    """Reads the control topic without a group: every reader gets every message.

    Messages that cannot be decoded are passed and logged. The others are handled in the order of their partition, one
    batch after the other. With each batch the handler learns whether it was written before the reader had caught up.
    Nothing is committed: the next reader begins as far back.
    """

    ended: asyncio.Future[None]
    """Exists from :meth:`start` on. Done when it has ended: without an exception only after :meth:`close`."""

    async def start(self) -> None:
        """Begin to read. Returns when all that was there has been handled, or after :meth:`close`.

        :raises BrokerError: it cannot read until a person changes something.
        :raises SettingsError: the client does not take its settings.
        """

    async def close(self) -> None:
        """Stop reading. The batch that is being handled is cancelled. Idempotent; harmless before the start."""


class Events(Protocol):
    """One member of the group that reads the events topic. It delivers batches until it is closed.

    The records of a partition come in the order of their offsets, without a gap, from the group's commit on; in a new
    group from the first record on. Records that cannot be decoded are passed, and their place comes instead of them. A
    partition may go to another member at any time. If it comes back, it is read from the group's commit on again.
    """

    ended: asyncio.Future[None]
    """Exists from :meth:`start` on. Done when it has ended: without an exception only after :meth:`close`."""

    async def start(self) -> None:
        """Join the group. Returns when the broker has assigned partitions (perhaps none), or after :meth:`close`.

        :raises BrokerError: it cannot join until a person changes something.
        :raises SettingsError: the client does not take its settings.
        """

    def allow(self, total: int) -> None:
        """Deliver until ``total`` records were delivered since the start, then pause. A later call may lower it.

        Nothing is delivered before the first call. Records that are delivered again count again.
        """

    def look_ahead(self, wanted: bool) -> None:
        """While it is paused: also read what comes behind, and deliver those records that must not wait.

        They come as batches ahead, at most one at a time: the next one when :meth:`commit` was called with it. Other
        records are dropped, and come in their order later. Not wanted before the first call.
        """

    def commit(self, batch: Batch) -> None:
        """Commit a batch, whose records are all safe. Returns at once; the commit is repeated until the broker has it.

        The caller passes batches in the order of their delivery. Partitions that were taken away since are left out.
        """

    async def close(self) -> None:
        """Stop delivering, commit what is owed and leave the group. What is not committed goes to the others at once.

        It waits a few seconds for a broker that is away. Idempotent; harmless before the start.
        """
