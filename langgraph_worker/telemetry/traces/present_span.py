"""A span that is the present one for as long as it lasts, in contexts that nobody takes back.

LangChain reports a beginning in the caller's context, which the body inherits, and the end in a task of its own: there
the caller's context cannot be set back. So what stands in it gives way by itself when its span has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, get_current_span


class PresentSpan(Span):
    """Stands for a span until that ends, then for the span around it.

    :param around: the present span when it began; see :func:`present_span`.
    """

    def __init__(self, span: Span, around: Span) -> None:
        self._span = span
        self._around = around
        self._is_over = False

    @property
    def now(self) -> Span:
        """The span that it stands for."""
        found: Span = self
        while isinstance(found, PresentSpan):
            found = found._around if found._is_over else found._span
        return found

    def give_way(self) -> None:
        """Its span has ended."""
        self._is_over = True

    def end(self, end_time: int | None = None) -> None:
        """Nothing: what has begun the span ends it."""

    def get_span_context(self) -> SpanContext:
        """The ids that a span below it names as its parent."""
        return self.now.get_span_context()

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """As the span does."""
        self.now.set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        """As the span does."""
        self.now.set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """As the span does."""
        self.now.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """As the span does."""
        self.now.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """As the span does."""
        self.now.update_name(name)

    def is_recording(self) -> bool:
        """Whether what is noted on it is kept."""
        return self.now.is_recording()

    def set_status(self, status: Any, description: str | None = None) -> None:
        """As the span does."""
        self.now.set_status(status, description)

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """As the span does."""
        self.now.record_exception(exception, attributes, timestamp, escaped)


def present_span(context: Context | None = None) -> Span:
    """The present span of a context, none that has ended here; so a chain of nodes holds no chain of spans."""
    found = get_current_span(context)
    while isinstance(found, PresentSpan) and found._is_over:
        found = found._around
    return found
