"""How a judge says that something is not as it must be."""

from __future__ import annotations


class Wrong(AssertionError):
    """A record was not treated as it must be."""


def require(holds: bool, text: str) -> None:
    """:raises Wrong: it does not hold."""
    if not holds:
        raise Wrong(text)
