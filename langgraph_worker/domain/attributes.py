"""Read the attributes of a graph's own objects, whose code may raise anything."""

from __future__ import annotations

from typing import Any


def attribute(holder: Any, name: str) -> Any:
    """An attribute; None if there is none, or if reading it raises."""
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a property may raise anything: httpx does where an exception has no request
        return None
