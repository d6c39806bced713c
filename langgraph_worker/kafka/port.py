"""What the worker asks of its broker. Every implementation passes the same contract suite (``tests/contract/broker``).

A topic is partitions, each a sequence of records with rising offsets; one key always goes to one partition. The members
of a group share a topic's partitions. A group's *commit* is, by partition, the offset at which whoever gets the
partition begins: all before it is done for good, all from there on is delivered again. So every record is delivered at
least once, and what makes a repeat harmless is its taker's affair.

Everything here belongs to one event loop. While the broker is away nothing ends because of that: sends wait for their
limit, commits and deliveries until it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from langgraph_worker.errors import BrokerError
from workflow_events.codec import Record


class SendError(BrokerError):
    """The broker has not acknowledged a message; it may have been written all the same.

    :param retriable: sending it again can help without anyone changing anything.
    :param too_large: the broker, or the client, takes no message of this size.
    """

    def __init__(self, text: str, *, retriable: bool, too_large: bool = False) -> None:
        self.retriable = retriable
        self.too_large = too_large
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in the order of their partitions, at least one, and the assignment they came from.

    :param epochs: by partition; a commit of an assignment that is over is dropped.
    """

    records: tuple[Record, ...]
    epochs: Mapping[int, int]


class Producer(Protocol):
    """Writes messages. What is sent with one key is read in the order of the calls, if none of them failed."""

    failed: asyncio.Future[None]
    """Gets an exception when this producer can never send again; the process must be started anew."""

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | str | None]]
    ) -> None:
        """Write one message; returns when every in-sync replica has it, so that any reader can read it.

        Cancelling the call does not take the message back.

        :raises SendError: it was refused, or not acknowledged in time; the text names the topic. A message that is too
            large or whose topic is missing is refused for good, a broker that is away is retriable.
        """

    def close(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for what is under way, then let go. Blocks: the last thing a worker does."""


class Notices(Protocol):
    """Writes messages that may be lost."""

    def offer(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes | str | None]]) -> bool:
        """Hand a message over, at once; False if it is dropped. Never raises, whatever becomes of the broker."""

    def close(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for what is under way, then let go. Blocks."""


class Control(Protocol):
    """Reads the control topic, independently of any group: every reader gets every message.

    Messages are dealt with in the order of their partition, one batch after the other, each told whether it was
    written before the reader had caught up. Nothing is committed: the next reader begins as far back again.
    """

    ended: asyncio.Future[None]
    """From :meth:`start` on. Done when it reads no more: without an exception only after :meth:`close`."""

    async def start(self) -> None:
        """Read; returns once all that was there has been dealt with, or after :meth:`close`.

        :raises BrokerError: nothing but a person's change will let it read.
        :raises SettingsError: the client does not take its settings.
        """

    async def close(self) -> None:
        """Read no more. What is being dealt with is cancelled. Idempotent; harmless before the start."""


class Events(Protocol):
    """One member of the group that reads the events topic: delivers batches until it is closed.

    Within a partition, records come in the order of their offsets, from the group's commit on, without a gap; in a new
    group from the first that is there. A partition may go to another member at any time, and come back; from then on it
    is read from the group's commit again.
    """

    ended: asyncio.Future[None]
    """From :meth:`start` on. Done when it will never deliver again: without an exception only after :meth:`close`."""

    async def start(self) -> None:
        """Join the group; returns once the broker has assigned partitions (perhaps none), or after :meth:`close`.

        :raises BrokerError: nothing but a person's change will let it join.
        :raises SettingsError: the client does not take its settings.
        """

    def allow(self, total: int) -> None:
        """Deliver until ``total`` records were delivered since the start, then pause; may be lowered again.

        Nothing is delivered before the first call. Repeats count.
        """

    def commit(self, batch: Batch) -> None:
        """Every record of the batch is safe: commit. Not awaited; repeated until the broker has it or takes it back.

        Batches are handed over in the order of their delivery. Partitions that were taken away since are left out.
        """

    async def close(self) -> None:
        """Deliver no more, commit what is owed, leave the group; what is not committed goes to the others at once.

        A broker that is away is waited for a few seconds. Idempotent; harmless before the start.
        """
