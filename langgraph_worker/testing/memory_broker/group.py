"""A consumer group: it shares a topic's partitions, and keeps the committed offset of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workflow_events.codec import Record

if TYPE_CHECKING:
    from langgraph_worker.testing.memory_broker.broker import MemoryBroker
    from langgraph_worker.testing.memory_broker.events import MemoryEvents


@dataclass
class Group:
    """The members that share a topic, in the order of their joining."""

    broker: MemoryBroker
    partitions: list[list[Record]]
    committed: dict[int, int] = field(default_factory=dict)
    members: list[MemoryEvents] = field(default_factory=list)

    def add(self, member: MemoryEvents) -> None:
        """Let a member join."""
        self.members.append(member)
        self.settle()

    def remove(self, members: Sequence[MemoryEvents]) -> None:
        """Remove members, and take their partitions back."""
        for member in members:
            self.members.remove(member)
            member.revoke(member.owned)
        self.settle()

    def settle(self) -> None:
        """Distribute the partitions evenly, and move as few as possible.

        Nothing moves while the broker is away, or has a dead member that it has not noticed: new members wait then.
        """
        if self.broker.away or not self.members or any(member.dead for member in self.members):
            return
        least, more = divmod(len(self.partitions), len(self.members))
        ranked = sorted(self.members, key=lambda member: -len(member.owned))
        shares = [(member, least + (rank < more)) for rank, member in enumerate(ranked)]
        for member, share in shares:
            member.revoke(member.owned[share:])
        free = sorted({*range(len(self.partitions))} - {number for member in ranked for number in member.owned})
        for member, share in shares:
            missing = share - len(member.owned)
            member.assign(free[:missing])
            free = free[missing:]

    def wake(self) -> None:
        """There may be something to do for any member."""
        for member in self.members:
            member.wake()
