"""The name that was probably meant, where one is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_CHARACTERS = 64  # of a name that is compared: the time grows with the square of it
_MOST_NAMES = 1_000


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that is written most alike; None if none is. Case, hyphens and underscores do not count.

    Safe for a name of any length: a long one is like none.
    """
    if len(name) > _LONGEST_CHARACTERS:
        return None
    plain = {_plain(one): one for one in sorted(known)[:_MOST_NAMES] if len(one) <= _LONGEST_CHARACTERS}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'counter'?``, to follow a sentence; empty if no known name is alike."""
    nearest = nearest_name(name, known)
    return f" Did you mean {nearest!r}?" if nearest else ""


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
