"""The first characters of an id, as people give them: the range of ids that begin so."""

from __future__ import annotations

from uuid import UUID

_DIGITS = 32


def ids_between(prefix: str) -> tuple[UUID, UUID]:
    """The first and the last UUID that begin with these characters.

    :param prefix: of a UUID's text, with its hyphens or without them.
    :raises ValueError: no UUID begins so.
    """
    digits = prefix.strip().replace("-", "").lower()
    if not digits or len(digits) > _DIGITS or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"{prefix!r} is no beginning of an id: give some of its first hexadecimal digits")
    return UUID(digits.ljust(_DIGITS, "0")), UUID(digits.ljust(_DIGITS, "f"))
