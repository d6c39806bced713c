"""The commits that a member of the group still owes. Pure: it knows no client and reads no clock."""

from __future__ import annotations

from collections.abc import Iterable

from langgraph_worker.broker.port import Batch

RETRY_SECONDS = 1.0
"""The pause after a commit that failed."""


class OwedCommits:
    """By partition, the offset that is safe to commit and not committed yet.

    Each assignment of a partition has an epoch. A batch that was delivered in an earlier epoch is not committed: its
    records were delivered again, to this member or to another.
    """

    def __init__(self) -> None:
        self._last_epoch = 0
        self._epochs: dict[int, int] = {}
        self._owed: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._not_before = 0.0

    @property
    def epochs(self) -> dict[int, int]:
        """The epoch of each partition that is assigned now."""
        return dict(self._epochs)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is owed and no commit is under way."""
        return not self._owed and not self._sent

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin a new epoch of these partitions."""
        self._last_epoch += 1
        self._epochs.update(dict.fromkeys(partitions, self._last_epoch))

    def revoke(self, partitions: Iterable[int]) -> None:
        """Forget what is owed of partitions that were taken away."""
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._owed.pop(partition, None)

    def owe(self, batch: Batch) -> None:
        """All of the batch is safe: its offsets are owed, where the assignment is still the same."""
        for partition, after in _ends(batch).items():
            epoch = batch.epochs.get(partition)  # None: taken away before the batch was handed over
            if epoch is not None and self._epochs.get(partition) == epoch:
                self._owed[partition] = after

    def take_due(self, now: float) -> dict[int, int]:
        """The offsets to send now, by partition. Empty while a commit is under way, and in the pause after a failure.

        What this returns is under way until :meth:`succeeded` or :meth:`failed`.
        """
        if self._sent or now < self._not_before:
            return {}
        self._sent = dict(self._owed)
        return dict(self._sent)

    def succeeded(self) -> None:
        """The broker has what was sent."""
        sent, self._sent = self._sent, {}
        for partition, offset in sent.items():
            if self._owed.get(partition) == offset:
                del self._owed[partition]

    def failed(self, now: float) -> None:
        """The broker does not have what was sent: it stays owed, as far as it has not been taken away."""
        self._sent = {}
        self._not_before = now + RETRY_SECONDS


def _ends(batch: Batch) -> dict[int, int]:
    """By partition, the offset behind all that a batch has of it."""
    ends = {record.partition: record.offset + 1 for record in batch.records}
    for place in batch.undecodable:
        ends[place.partition] = max(place.after, ends.get(place.partition, 0))
    return ends
