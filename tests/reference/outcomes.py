"""An outcome as both sides are compared by: without what is new in each run. Needs the standard library only."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_MESSAGES = {"human", "ai", "system", "tool", "function", "remove", "AIMessageChunk"}
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_HIDDEN = "An internal error occurred"  # so the reference says of most exceptions
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def outcome(
    status: str,
    output: Any = None,
    *,
    questions: Sequence[Any] = (),
    custom: Sequence[Any] = (),
    error: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """The outcome of one turn.

    :param status: ``success``, ``interrupted`` or ``error``.
    :param output: the values that the graph's output schema names; of an error none.
    :param questions: the values of its interrupts; none at a breakpoint.
    :param custom: what nodes wrote to the stream, in order.
    :param error: the exception's type and text.
    """
    found: dict[str, Any] = {"status": status}
    if status != "error":
        found["output"] = plain(output)
    if questions:
        found["questions"] = sorted(map(plain, questions), key=order)
    if custom:
        found["custom"] = [plain(value) for value in custom]
    if error:
        found["error"] = {"type": error[0]} | ({} if error[1] == _HIDDEN else {"text": plain(error[1])})
    return found


def order(question: Any) -> str:
    """What questions are sorted by: side by side, they come in any order."""
    return json.dumps(question, sort_keys=True)


def plain(value: Any) -> Any:
    """A value without ids and times, and without what messages of one version have and of another have not."""
    if isinstance(value, dict):
        if value.get("type") in _MESSAGES and "content" in value:
            value = {key: part for key, part in value.items() if key not in ("id", "usage_metadata") and part}
        return {key: plain(part) for key, part in value.items() if key != "__interrupt__"}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, str):
        return _ADDRESS.sub("", _TIME.sub("<time>", _UUID.sub("<uuid>", value)))
    return value
