"""The header ``traceparent``: which trace a message belongs to, in the form of W3C Trace Context, version 00."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from workflow_events.headers import TRACEPARENT, Headers, value_of

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A span as another process names it.

    :param trace_id: 32 hex digits.
    :param span_id: 16 hex digits.
    :param flags: bit 0: the span is recorded.
    """

    trace_id: str
    span_id: str
    flags: int = _SAMPLED

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """What a header says; None if it is absent or has another form: a wrong one never stops a message."""
        found = _FORM.fullmatch(text or "")
        return cls(found[1], found[2], int(found[3], 16)) if found else None

    @property
    def is_recorded(self) -> bool:
        """Whether its sender records the trace."""
        return bool(self.flags & _SAMPLED)

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def traceparent_of(headers: Headers | None) -> str | None:
    """The trace context of a message, as text; None if it has none that is valid."""
    found = TraceParent.read(value_of(headers, TRACEPARENT))
    return None if found is None else str(found)
