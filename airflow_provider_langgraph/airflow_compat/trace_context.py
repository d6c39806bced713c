"""The OpenTelemetry trace that a task's spans belong to, as the ``traceparent`` of W3C Trace Context.

What differs (read from the sources of Airflow 3.1.0, 3.1.8, 3.2.2 and 3.3.2): from 3.2 on the task's process has a span
of its own. In 3.1 it has none, and the carrier that the executor gave the task instance names the executor's span. A
carrier alone proves nothing: from 3.2 on there is one although tracing is off, in 3.2 even with the flag "sampled".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import conf

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_SAMPLED = 0x01


def traceparent_of(ti: Any) -> str | None:
    """The ``traceparent`` of a task's span; None where nothing is traced, or what there is has not the form of W3C.

    OpenTelemetry is never imported here: a process that has not imported it has no span.

    :param ti: the task instance of the task's context.
    """
    span = _current_span()
    if not _is_traced(span):
        return None
    carrier = getattr(ti, "context_carrier", None)
    given = [_of_span(span), carrier.get("traceparent") if isinstance(carrier, Mapping) else None]
    return next((text for text in given if isinstance(text, str) and _FORM.fullmatch(text)), None)


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace that a ``traceparent`` names; None if it is not recorded, so that nobody can look at it."""
    found = _FORM.fullmatch(traceparent or "")
    return found[1] if found and int(found[2], 16) & _SAMPLED else None


def _current_span() -> Any:
    trace = sys.modules.get("opentelemetry.trace")
    return None if trace is None else trace.get_current_span()


def _is_traced(span: Any) -> bool:
    is_recorded = span is not None and span.is_recording()
    return bool(is_recorded or conf.getboolean("traces", "otel_on", fallback=False))


def _of_span(span: Any) -> str | None:
    if span is None:
        return None
    found = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
