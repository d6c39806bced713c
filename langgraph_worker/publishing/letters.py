"""A dead letter, read back from its topic. Whoever may write to the topic can write anything: all of it is text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pydantic_core

from langgraph_worker.domain.models import Origin
from langgraph_worker.publishing.dead_letters import PREFIX, REDACTED
from workflow_events.codec import Record
from workflow_events.headers import Headers, correlation_id_of, value_of

_MOST_DIGITS = 18  # of a number that is believed
_MOST_REPLAYS = 2**31
_LONGEST_TEXT = 4_000  # characters; the longest that a worker writes has half as many


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    :param record: as it is in the dead-letter topic.
    :param body: the event, as far as it is a JSON object; empty if it is none.
    """

    record: Record
    body: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, record: Record) -> Letter:
        """Read a record of the dead-letter topic. Never raises."""
        try:
            body = pydantic_core.from_json(record.value or b"{}")
        except (ValueError, RecursionError):
            body = None
        return cls(record, body if isinstance(body, dict) else {})

    @property
    def place(self) -> str:
        """``0:17``: partition and offset, as a command line takes them."""
        return f"{self.record.partition}:{self.record.offset}"

    @property
    def written_at(self) -> datetime | None:
        """When it was written."""
        at = self.record.timestamp_ms
        try:
            return None if at is None else datetime.fromtimestamp(at / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    @property
    def error_type(self) -> str:
        """The fault's name, see :data:`langgraph_worker.domain.faults.FAULTS`."""
        return self.header("error-type")

    @property
    def reason(self) -> str:
        """Why it could not be run, in words."""
        return self.header("reason")

    @property
    def attempts(self) -> int | None:
        """How often its request was started; None if it was never accepted, or a version before wrote it."""
        return self.number("attempts")

    @property
    def replays(self) -> int:
        """Which replay of a dead letter its request was; 0 for none."""
        given = self._within("replay").get("number", self._within("attempt").get("replay"))
        return given if isinstance(given, int) and 0 < given < _MOST_REPLAYS else 0

    @property
    def origin(self) -> Origin:
        """Where the event was read from; an offset of -1 if that is not known."""
        partition, offset = self.number("partition"), self.number("offset")
        places = (-1 if partition is None else partition, -1 if offset is None else offset)
        return Origin(self.header("cluster"), self.header("topic"), *places)

    @property
    def correlation_id(self) -> UUID | None:
        """The request that it is about, by its header, else by its body."""
        named = correlation_id_of(self.record.headers)
        if named is not None:
            return named
        try:
            return UUID(self.named("event_id"))
        except ValueError:
            return None

    @property
    def omitted_bytes(self) -> int | None:
        """The size of a body that was too large for the topic; None if it was not."""
        return self.number("body-omitted-bytes")

    @property
    def is_redacted(self) -> bool:
        """Whether its body is not what came."""
        return value_of(self.record.headers, REDACTED) is not None

    @property
    def own_headers(self) -> Headers:
        """The event's headers, without those of the letter."""
        return [(name, value) for name, value in self.record.headers or () if not name.startswith(PREFIX)]

    def header(self, name: str) -> str:
        """One of the letter's headers, without their prefix, cut where it is too long; empty if it is absent."""
        return (value_of(self.record.headers, PREFIX + name) or "")[:_LONGEST_TEXT]

    def named(self, field_name: str) -> str:
        """A text of the body, such as its graph, cut where it is too long; empty if it has none."""
        found = self.body.get(field_name)
        return found[:_LONGEST_TEXT] if isinstance(found, str) else ""

    def _within(self, field_name: str) -> Mapping[str, Any]:
        found = self.body.get(field_name)
        return found if isinstance(found, dict) else {}

    def number(self, name: str) -> int | None:
        """One of the letter's headers as a number; None if it is none."""
        text = self.header(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are wanted: those that fulfil all that is given.

    :param reasons: error types; empty: all.
    :param text: part of the reason or of the body, in any case.
    """

    reasons: frozenset[str] = frozenset()
    graph: str | None = None
    workflow_id: str | None = None
    workflow_run_id: str | None = None
    text: str | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is wanted."""
        names = (
            ("graph", self.graph),
            ("workflow_id", self.workflow_id),
            ("workflow_run_id", self.workflow_run_id),
        )
        return (
            (not self.reasons or letter.error_type in self.reasons)
            and all(wanted is None or letter.named(name) == wanted for name, wanted in names)
            and (self.text is None or self._has_text(letter, self.text))
        )

    def _has_text(self, letter: Letter, text: str) -> bool:
        return text.lower() in letter.reason.lower() or text.lower().encode() in (letter.record.value or b"").lower()
