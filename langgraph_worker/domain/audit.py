"""Who asked for what through the API: what is kept of it, whatever becomes of the runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from langgraph_worker.domain.reply_encoding import clean


class Outcome(StrEnum):
    """What became of a message."""

    SENT = "sent"
    """Kafka has acknowledged it."""
    NOT_ACKNOWLEDGED = "not acknowledged"
    """Kafka has not; it may have come nevertheless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A client has asked for a change. It holds names and ids, and nothing of what an agent was asked or has answered.

    :param actor: the client: the name of its token.
    :param on_behalf_of: the person for whom it asks; None: for itself.
    :param client: the network address that it came from.
    :param action: such as ``cancel_run``.
    :param target: the request that it asks for, or that it changes.
    """

    actor: str
    client: str
    action: str
    target: UUID
    on_behalf_of: str | None = None

    def storable(self) -> Self:
        """The entry with texts that every database takes: names come from files and from clients."""
        person = None if self.on_behalf_of is None else clean(self.on_behalf_of)
        return replace(self, actor=clean(self.actor), client=clean(self.client), on_behalf_of=person)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry as it is kept.

    :param seq: rises with each entry.
    :param at: by the store's clock, UTC.
    :param outcome: None: it is not known; the message may have come.
    """

    seq: int
    at: datetime
    entry: AuditEntry
    outcome: Outcome | None
